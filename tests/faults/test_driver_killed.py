"""The driver is killed at random moments of its course, again and again, and the same command goes on."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.tiny_sweep import QUESTION, TinySweep, wait_until

MANY_SEEDS = 15
"""So many that no twenty kills see the last trial done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When the driver is killed."""

    phase: str
    delay: float
    """Seconds after the phase began."""
    with_all: bool
    """All that it started is killed with it."""


PHASES = {
    "start-up": (4, 6.0),
    "training": (6, 1.0),
    "sealing": (4, 0.1),
    "between trials": (2, 1.0),
    "report": (2, 2.0),
    "last sends to MLflow": (2, 0.05),
}
"""How many of twenty moments lie in each, and the longest delay."""


def drawn(seed: int) -> list[Moment]:
    """Twenty moments in the order in which a sweep comes to them."""
    rng = np.random.default_rng(seed)
    moments = {
        phase: [
            Moment(phase=phase, delay=rng.uniform(0, longest), with_all=bool(rng.random() < 0.5)) for _ in range(n)
        ]
        for phase, (n, longest) in PHASES.items()
    }
    under_way = [moment for phase in ("training", "sealing", "between trials") for moment in moments[phase]]
    shuffled = [under_way[i] for i in rng.permutation(len(under_way))]
    return [*moments["start-up"], *shuffled, *moments["report"], *moments["last sends to MLflow"]]


TWENTY = drawn(seed=20)
AT_THE_END = [moment for moment in TWENTY if moment.phase == "last sends to MLflow"]
"""They last a moment: a driver may be gone."""
THREE = [next(moment for moment in TWENTY if moment.phase == phase) for phase in ("training", "sealing", "report")]


@pytest.mark.timeout(3600)
def test_after_every_kill_the_same_command_goes_on_and_ends_as_if_nothing_had_happened(tiny, calm):
    assert n_hit(tiny, calm, THREE) == len(THREE)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_after_twenty_kills_the_same_command_has_ended_as_if_nothing_had_happened(tmp_path, shared):
    question = QUESTION.replace("range(2)", f"range({MANY_SEEDS})")
    calm, tiny = (TinySweep.written(tmp_path / name, shared, question=question) for name in ("calm", "killed"))
    assert calm.run(seconds=900).returncode == 0
    hit = n_hit(tiny, calm, TWENTY)
    assert hit >= len(TWENTY) - len(AT_THE_END), f"{hit} drivers were killed, the others had ended"


def n_hit(tiny: TinySweep, calm: TinySweep, moments: Sequence[Moment]) -> int:
    """Drivers that a moment found alive, after each kill and the end were checked against the undisturbed sweep."""
    n_trials, codes = len(calm.trials()), []
    done: dict[str, tuple[bytes, int]] = {}
    for moment in moments:
        code, said = killed(tiny, moment, n_trials)
        assert code in (0, -signal.SIGKILL), (moment, said)
        codes.append(code)
        now = manifests(tiny)
        assert {trial_id: now.get(trial_id) for trial_id in done} == done, moment
        done = now
    last = tiny.run(seconds=900)
    assert last.returncode == 0, last.stdout
    assert {trial_id: manifests(tiny)[trial_id] for trial_id in done} == done
    assert tiny.logits() == calm.logits()
    assert scores(tiny) == scores(calm)
    assert sorted(run.info.status for run in tiny.mlflow_runs()) == ["FINISHED"] * (n_trials + 1)
    return codes.count(-signal.SIGKILL)


def begun(phase: str, tiny: TinySweep, n_trials: int, driver: "subprocess.Popen[str]") -> Callable[[], bool]:
    """Whether the phase has begun in this driver's course, or its course is over."""
    epochs, n_done, since = n_epochs(tiny), len(manifests(tiny)), time.time()
    report = tiny.folder / "report" / "report.html"
    holds: Callable[[], bool] = {
        "start-up": lambda: True,
        "training": lambda: n_epochs(tiny) > epochs,
        "sealing": lambda: n_unsealed(tiny) > 0,
        "between trials": lambda: len(manifests(tiny)) > n_done,
        "report": lambda: len(manifests(tiny)) == n_trials and holder(tiny) == driver.pid,
        "last sends to MLflow": lambda: report.exists() and report.stat().st_mtime > since,
    }[phase]
    return lambda: holds() or driver.poll() is not None


def killed(tiny: TinySweep, moment: Moment, n_trials: int) -> tuple[int, str]:
    """The command's code and what it said; 0 where its course was over before the moment came."""
    log = tiny.here / "log"
    with log.open("w") as output:
        driver = tiny.start(stdout=output)
        try:
            wait_until(begun(moment.phase, tiny, n_trials, driver), moment.phase, seconds=400)
            time.sleep(moment.delay)
        finally:
            kill(driver, with_all=moment.with_all)
    return driver.wait(), log.read_text()


def kill(driver: "subprocess.Popen[str]", *, with_all: bool) -> None:
    """Kill the driver, and where asked all that it started; else what it started goes by itself."""
    started = psutil.Process(driver.pid).children(recursive=True) if driver.poll() is None else []
    driver.kill()
    for process in started if with_all else ():
        if process.is_running():
            process.kill()
    driver.wait()


def manifests(tiny: TinySweep) -> dict[str, tuple[bytes, int]]:
    """Content and time of each, by trial_id."""
    paths = tiny.folder.glob("trials/*/manifest.json")
    return {path.parent.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def scores(tiny: TinySweep) -> dict[tuple[str, int], dict[str, dict[str, float]]]:
    return {(m["arm"], m["seed"]): m["scores"] for m in tiny.trials().values()}


def n_epochs(tiny: TinySweep) -> int:
    return sum(path.read_text().count("\n") - 1 for path in tiny.folder.glob("trials/*/history.csv"))


def n_unsealed(tiny: TinySweep) -> int:
    """Trials with predictions and no manifest."""
    folders = [path.parent for path in tiny.folder.glob("trials/*/val.parquet")]
    return sum(not (folder / "manifest.json").exists() for folder in folders)


def holder(tiny: TinySweep) -> int | None:
    """The process that has the sweep's lock."""
    lock: Path = tiny.folder / "driver.lock"
    try:
        return int(json.loads(lock.read_text())["pid"])
    except (OSError, ValueError):
        return None
