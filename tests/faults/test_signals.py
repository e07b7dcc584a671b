"""A signal at any point of a sweep's course: it ends soon, in order, with its own code and a line that goes on."""

import contextlib
import fcntl
import os
import pty
import signal
import socket
import termios
import threading
import time

import psutil
import pytest

from tests.tiny_sweep import RECIPE, TinySweep, wait_until

pytestmark = pytest.mark.usefixtures("no_signal_ignored")

GOES_ON = "the same command goes on from here"
STOPS_WITHIN = 5.0
"""Seconds on a machine that does nothing else; here others may run, see `slack`."""

LONG = RECIPE.replace("epochs=4", "epochs=400")
MANY_IMAGES = RECIPE.replace("n_train=200", "n_train=20000")


@pytest.fixture
def long(tmp_path, shared):
    """A sweep that would train for a long time."""
    return TinySweep.written(tmp_path / "here", shared, recipe=LONG)


def slack() -> float:
    """How many times longer than alone it may take now: twice, where others keep every core busy."""
    return min(2.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def trains(tiny):
    return lambda: list(tiny.folder.glob("trials/*/history.csv"))


def ended(driver, seconds=300.0):
    """Its code, its last line, the seconds that it took, and which of its processes are left a moment later."""
    started, before = psutil.Process(driver.pid).children(recursive=True), time.monotonic()
    said, _ = driver.communicate(timeout=seconds)
    took = time.monotonic() - before
    return driver.returncode, said.splitlines()[-1], took, psutil.wait_procs(started, timeout=5)[1]


def is_free(tiny):
    return not (tiny.folder / "driver.lock").exists() or (tiny.folder / "driver.lock").read_text() == ""


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        signal.SIGINT,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, marks=pytest.mark.slow),
    ],
)
def test_while_trials_train_it_stops_in_seconds_and_no_process_is_left(long, under_way, number):
    driver = under_way(long)
    wait_until(trains(long), "the first epoch", 400)
    driver.send_signal(number)
    code, line, took, left = ended(driver)
    assert (code, line) == (128 + number, f"Stopped by {number.name}: 0 of 4 trials done; {GOES_ON}.")
    assert took < STOPS_WITHIN * slack()
    assert left == []
    assert is_free(long)
    assert {run.info.status for run in long.mlflow_runs()} <= {"KILLED", "FINISHED"}


def test_a_signal_to_the_whole_process_group_is_told_as_one_to_the_driver_alone(long, under_way):
    driver = under_way(long)
    wait_until(trains(long), "the first epoch", 400)
    os.killpg(driver.pid, signal.SIGTERM)
    code, line, _, left = ended(driver)
    assert (code, line) == (143, f"Stopped by SIGTERM: 0 of 4 trials done; {GOES_ON}.")
    assert left == []


@pytest.fixture
def deaf_server():
    """An address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        accepted = []

        def accept():
            while True:
                try:
                    accepted.append(listening.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in accepted:
            connection.close()


def test_an_mlflow_server_that_never_answers_does_not_hold_up_the_stop(long, under_way, deaf_server):
    driver = under_way(long, "--tracking-uri", deaf_server)
    wait_until(trains(long), "the first epoch", 400)
    driver.send_signal(signal.SIGTERM)
    code, _, took, left = ended(driver)
    assert code == 143
    assert took < STOPS_WITHIN * slack()
    assert left == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_images_are_prepared_it_stops_at_once(tmp_path, under_way, number):
    tiny = TinySweep.written(tmp_path / "here", tmp_path / "fresh", recipe=MANY_IMAGES)
    driver = under_way(tiny)
    wait_until((tmp_path / "fresh").exists, "the first image")
    time.sleep(0.5)
    driver.send_signal(number)
    code, line, took, left = ended(driver)
    assert (code, line) == (128 + number, f"dermtune-sweep: stopped by {number.name}; {GOES_ON}")
    assert took < STOPS_WITHIN * slack()
    assert left == []


def test_while_the_report_is_made_and_while_mlflow_gets_it_the_line_is_there_and_the_next_start_completes_both(
    tiny, under_way
):
    report = tiny.folder / "report"
    driver = under_way(tiny)
    wait_until(lambda: len(tiny.trials()) == 4, "the last trial", 400)
    wait_until(
        lambda: report.exists() or list(tiny.folder.glob(".report-*")) or driver.poll() is not None, "report"
    )
    stop_and_expect(driver, tiny)
    driver = under_way(tiny)
    since = time.time()
    wait_until(lambda: report.exists() and report.stat().st_mtime > since, "the report", 400)
    stop_and_expect(driver, tiny)
    assert tiny.run().returncode == 0
    assert sorted(run.info.status for run in tiny.mlflow_runs()) == ["FINISHED"] * 5


def stop_and_expect(driver, tiny):
    driver.send_signal(signal.SIGTERM)
    code, line, took, _ = ended(driver)
    assert (code, line) == (143, f"dermtune-sweep: stopped by SIGTERM; {GOES_ON}")
    assert took < STOPS_WITHIN * slack()
    assert is_free(tiny)


def test_a_second_ctrl_c_leaves_mlflow_to_the_next_start(long, under_way, deaf_server):
    driver = under_way(long, "--tracking-uri", deaf_server)
    wait_until(trains(long), "the first epoch", 400)
    driver.send_signal(signal.SIGINT)
    time.sleep(0.5)
    driver.send_signal(signal.SIGINT)
    code, line, took, left = ended(driver)
    assert code == 130
    assert GOES_ON in line
    assert took < STOPS_WITHIN * slack()
    assert left == []


def test_a_terminal_that_is_closed_ends_the_sweep_in_order_though_nothing_can_be_said(long, under_way):
    screen, its_end = pty.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), its_end)
    driver = under_way(long, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **streams)
    os.close(its_end)
    try:
        os.set_blocking(screen, False)
        wait_until(lambda: drained(screen) and trains(long)(), "the first epoch", 400)
        started = psutil.Process(driver.pid).children(recursive=True)
    finally:
        os.close(screen)
    assert driver.wait(timeout=300) == 129
    assert psutil.wait_procs(started, timeout=5)[1] == []
    assert is_free(long)


def drained(screen):
    """True, after what the terminal shows was read: it would fill up."""
    with contextlib.suppress(BlockingIOError):
        while os.read(screen, 65536):
            pass
    return True
