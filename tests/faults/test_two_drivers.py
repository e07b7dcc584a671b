"""Several drivers: one a sweep, whatever state it is in, and as many sweeps as there are at once."""

import platform
import shutil
import signal

import psutil
import pytest

from tests.tiny_sweep import QUESTION, RECIPE, TinySweep, wait_until

LONG = RECIPE.replace("epochs=4", "epochs=400")
N_SWEEPS = 8


@pytest.fixture
def first(tmp_path, shared):
    """A driver that trains for a long time, and its sweep."""
    tiny = TinySweep.written(tmp_path / "here", shared, recipe=LONG)
    driver = tiny.start()
    try:
        wait_until(lambda: list(tiny.folder.glob("trials/*/history.csv")), "the first epoch", 400)
        yield tiny, driver
    finally:
        started = psutil.Process(driver.pid).children(recursive=True) if driver.poll() is None else []
        driver.kill()
        for process in started:
            if process.is_running():
                process.kill()
        driver.communicate()


def refused(tiny, driver):
    second = tiny.run("--tracking-uri", "sqlite:///another.db")
    said = f"{tiny.folder} must have one driver, process {driver.pid} on {platform.node()} runs it already"
    return (second.returncode, second.stdout) == (2, f"dermtune-sweep: {said}\n") or second


def test_a_second_driver_is_refused_by_the_firsts_name_also_while_that_is_stopped_and_a_dead_ones_lock_is_free(
    first,
):
    tiny, driver = first
    assert refused(tiny, driver) is True
    driver.send_signal(signal.SIGSTOP)  # as Ctrl-Z and a debugger do it
    try:
        assert refused(tiny, driver) is True
    finally:
        driver.send_signal(signal.SIGCONT)
    driver.kill()
    driver.wait()
    assert f'"pid": {driver.pid}' in (tiny.folder / "driver.lock").read_text()
    heir = tiny.start()
    try:
        wait_until(lambda: f'"pid": {heir.pid}' in (tiny.folder / "driver.lock").read_text(), "the lock", 400)
        heir.send_signal(signal.SIGTERM)
        said, _ = heir.communicate(timeout=300)
        assert heir.returncode == 143, said
    finally:
        heir.kill()


def test_eight_sweeps_that_start_at_once_share_data_cache_and_mlflow_store(tmp_path, calm):
    """Their trials are done, so that eight fit on a small machine: each opens data and cache, and exports."""
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    sweeps = [written(tmp_path, n, calm) for n in range(N_SWEEPS)]
    drivers = [sweep.start("--tracking-uri", store) for sweep in sweeps]
    try:
        ended = [(driver.communicate(timeout=400)[0], driver.returncode) for driver in drivers]
    finally:
        for driver in drivers:
            driver.kill()
    assert [code for _, code in ended] == [0] * N_SWEEPS, ended
    assert all("Nothing to run: 4 of 4 trials done." in said for said, _ in ended)
    runs = sweeps[0].mlflow_runs(store)
    assert len(runs) == N_SWEEPS * 5
    assert {run.info.status for run in runs} == {"FINISHED"}


def written(tmp_path, n, calm):
    """A sweep of another name whose trials are those of the calm one."""
    question = QUESTION.replace('name="tiny"', f'name="tiny{n}"')
    sweep = TinySweep.written(tmp_path / f"sweep{n}", tmp_path / "shared", question=question)
    shutil.copytree(calm.folder / "trials", sweep.here / "runs" / f"tiny{n}-tiny" / "trials")
    return sweep
