"""The benchmark of large sweeps still runs: on tiny ones, and with no figure of time looked at."""

import pytest
from rich.console import Console

from dermtune.integrity import inspect
from tests.benchmarks.scale import SAID, TARGET, TINY, measure
from tests.benchmarks.scale_fit import TIME, draw, fit, told
from tests.benchmarks.scale_folders import Size, done
from tests.benchmarks.scale_images import measure_images


def test_the_sweeps_that_are_measured_are_whole_and_sound(tmp_path):
    sweep = done(tmp_path / "sweep", Size(arms=10, seeds=2, images=40, classes=4))
    found = inspect(sweep.folder.path, lambda *_: None)
    assert (found.is_sound, found.n_done, found.n_trials) == (True, 20, 20)


def test_commands_are_measured_told_and_drawn(tmp_path):
    points = measure(TINY, ["verify"])
    assert [point.size for point in points] == list(TINY["arms"])
    assert all(point.cpu > 0 and point.mib > 50 for point in points)
    assert sum(line.startswith(f"| {SAID['verify']} |") for line in told(points, SAID, TARGET)) == 2
    draw(points, SAID, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").read_bytes()[:4] == b"\x89PNG"


def test_the_steps_before_training_are_measured():
    (steps,) = measure_images([300], Console(quiet=True))
    assert steps["kB in the cache"] == pytest.approx(448 * 448 * 3 / 1000)
    assert steps["decoding, ms an image"] > steps["looking, ms an image"]


def test_a_cost_is_taken_apart_into_what_it_was_made_of():
    sizes = [
        Size(arms=a, seeds=s, images=n, classes=k)
        for a in (10, 90)
        for s in (2, 9)
        for n in (50, 700)
        for k in (4, 30)
    ]
    costs = dict(zip(TIME, (3.0, 0.2, 1e-4, 2e-6, 0.01, 5e-7, 0.003), strict=True))
    found = fit(TIME, sizes, [sum(cost * TIME[part](size) for part, cost in costs.items()) for size in sizes])
    assert found.costs == pytest.approx(costs, rel=1e-6)
    assert found.at(TARGET) == pytest.approx(sum(cost * TIME[part](TARGET) for part, cost in costs.items()))
    assert found.between(TARGET) == pytest.approx([found.at(TARGET)] * 2, rel=1e-3)


def test_what_no_size_tells_apart_stays_open_between_bounds():
    """Sizes that grow as arms and images at once: a trial may cost something, or its images, not both."""
    sizes = [Size(arms=n, seeds=1, images=n, classes=1) for n in (1, 2)]
    parts = {"an arm": lambda size: size.arms, "an image": lambda size: size.images}
    found = fit(parts, sizes, [3.0, 6.0])
    assert found.off == pytest.approx(0, abs=1e-9)
    assert found.between(Size(arms=10, seeds=1, images=100, classes=1)) == pytest.approx([30, 300], rel=1e-3)
