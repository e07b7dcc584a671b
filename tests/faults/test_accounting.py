"""What a sweep has cost is known, whatever was killed, failed or full: every attempt, at the price that it had."""

import json
import os
import re
import subprocess
import time

import psutil
import pytest

from dermtune.ledger import TrialFolder, meter
from tests.tiny_sweep import QUESTION, RECIPE, TinySweep, wait_until

SLOW = RECIPE.replace("epochs=4", "epochs=200")
"""Trials long enough to be killed twice in their middle, where a calm processor takes 0.05 s an epoch."""
ONE_SEED = QUESTION.replace("range(2)", "range(1)")
DIVERGING = RECIPE.replace("batch_size=64", "batch_size=64, learning_rate=1e20")
ONE_AT_A_TIME = ("--cpus-per-trial", str(os.cpu_count()))
A_DOLLAR_A_SECOND = ("--usd-per-hour", "3600")
SLACK = 1.0
"""Seconds by which two processes of a busy machine see one moment apart."""


def attempts(sweep):
    """Every attempt at every trial, in the order of their start."""
    paths = sweep.folder.glob("trials/*/attempts.json")
    found = [attempt for path in paths for attempt in json.loads(path.read_text())["attempts"]]
    return sorted(found, key=lambda attempt: attempt["started"])


def seconds(sweep):
    return sum(attempt["seconds"] for attempt in attempts(sweep))


def killed_in_the_middle(sweep):
    """The seconds, by this process's clock, from the first entry of an attempt to the kill of all that runs."""
    before = len(attempts(sweep))
    driver = sweep.start(*ONE_AT_A_TIME, *A_DOLLAR_A_SECOND)
    try:
        wait_until(lambda: len(attempts(sweep)) > before, "an attempt")
        began = time.monotonic()
        wait_until(lambda: attempts(sweep)[-1]["kept_seconds"] > 0, "an epoch")
        time.sleep(0.3)
    finally:
        for process in (*psutil.Process(driver.pid).children(recursive=True), driver):
            process.kill()  # as a power failure does: no worker outlives its driver
        took = time.monotonic() - began
        driver.communicate()
    assert [attempt["ended"] for attempt in attempts(sweep)][before:] == [None], "one attempt, and not at its end"
    return took


def spent(sweep):
    """What the report says that the sweep has cost."""
    return json.loads((sweep.folder / "report" / "report.json").read_text())["provenance"]["spent"]


def test_a_sweep_that_is_killed_twice_in_its_middle_has_cost_what_a_clock_beside_it_says(tmp_path, shared):
    sweep = TinySweep.written(tmp_path / "here", shared, question=ONE_SEED, recipe=SLOW)
    by_the_clock = killed_in_the_middle(sweep) + killed_in_the_middle(sweep)
    assert by_the_clock - 2 * (meter.BEAT_SECONDS + SLACK) < seconds(sweep) < by_the_clock + SLACK

    killed = seconds(sweep)
    assert sweep.run(*ONE_AT_A_TIME, "--usd-per-hour", "7200", seconds=400).returncode == 0
    assert [attempt["ended"] for attempt in attempts(sweep)].count("interrupted") == 2
    calm = seconds(sweep) - killed
    manifests = sweep.trials().values()
    assert sum(manifest["seconds"] for manifest in manifests) == pytest.approx(seconds(sweep))
    assert sum(manifest["cost_usd"] for manifest in manifests) == pytest.approx(killed * 1 + calm * 2)
    assert sum(manifest["attempts"] for manifest in manifests) == spent(sweep)["attempts"] == len(attempts(sweep))
    assert spent(sweep)["cost_usd"] == pytest.approx(killed * 1 + calm * 2, abs=0.001)
    lost = sum(attempt["seconds"] - attempt["kept_seconds"] for attempt in attempts(sweep))
    assert spent(sweep)["lost_hours"] == pytest.approx(lost / 3600, abs=0.0001)
    assert lost < killed / 2, "epochs that were kept are not lost"


def test_trials_that_diverge_are_paid_at_each_start_and_no_start_forgets_it(tmp_path, shared):
    sweep = TinySweep.written(tmp_path / "here", shared, question=ONE_SEED, recipe=DIVERGING)
    for _ in range(2):
        assert sweep.run(*A_DOLLAR_A_SECOND, seconds=400).returncode == 1
    assert [attempt["ended"] for attempt in attempts(sweep)] == ["diverged"] * 4
    paid = seconds(sweep)
    assert paid > 0

    foreseen = sweep.run(*A_DOLLAR_A_SECOND, "--max-usd", "1000", "--dry-run", seconds=400)
    [spent] = re.findall(r"^budget +\$(\S+) of \$1,000\.00 spent", foreseen.stdout, re.MULTILINE)
    [lost] = re.findall(r"\$(\S+) of it came to nothing", foreseen.stdout)
    assert (float(spent), float(lost)) == pytest.approx((paid, paid), abs=0.01)

    refused = sweep.run(*A_DOLLAR_A_SECOND, "--max-usd", f"{paid - 0.01:.3f}", seconds=400)
    assert refused.returncode == 1
    assert "The budget is spent: 0 of 2 trials done" in refused.stdout
    assert len(attempts(sweep)) == 4, "nothing was started"


def test_a_spent_budget_says_what_is_missing_and_the_limit_that_it_names_ends_the_sweep(tiny):
    assert tiny.run("--seeds", "1", seconds=400).returncode == 0
    a_little = seconds(tiny) / 3600 + 1e-5
    stopped = tiny.run("--max-hours", f"{a_little:.6f}")
    assert stopped.returncode == 1
    said = re.search(r"^The budget is spent: 2 of 4 trials done; (.*)$", stopped.stdout, re.MULTILINE)[1]
    assert re.search(r"hours left, 2 trials of about \S+ hours missing\.$", said)
    for _ in range(3):  # on a machine that others slow down meanwhile, it names a larger one
        limit = re.search(r"with --max-hours (\S+) would end it", stopped.stdout)[1]
        stopped = tiny.run("--max-hours", limit, seconds=400)
        if stopped.returncode == 0:
            break
    assert stopped.returncode == 0, stopped.stdout


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a disk that can be filled needs the right to mount one: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_ends_no_attempt_and_what_it_took_is_told_when_there_is_room(small_disk, monkeypatch):
    monkeypatch.setattr(meter, "BEAT_SECONDS", 0.05)
    folder, filler = TrialFolder(small_disk / "trial"), small_disk / "filler"
    with folder.metered(gpus=0.0, usd_per_hour=None):
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(2**20))
        told = folder.seconds()
        time.sleep(0.5)
        assert folder.seconds() == told, "there was room for it"
        filler.unlink()
        wait_until(lambda: folder.seconds() > 0.5, "a beat after there was room")
    assert [attempt.ended for attempt in folder.attempts()] == ["done"]
