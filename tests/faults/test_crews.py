"""One of the processes that train a trial together goes away, or the sweep is stopped while they do."""

import signal

import psutil
import pytest

from dermtune import tuner
from dermtune.ending import Ending
from dermtune.ledger import SweepFolder
from tests.crew_sweep import SIGLIP, TOGETHER
from tests.faults.test_signals import GOES_ON, STOPS_WITHIN, ended, is_free, slack, trains
from tests.faults.test_workers_killed import Killer, predictions
from tests.monitors import Heard
from tests.security.test_network import connections, is_loopback
from tests.tiny_sweep import TinySweep, wait_until

pytestmark = pytest.mark.usefixtures("no_signal_ignored")


def others():
    """The further processes of trials of this process's Ray, by what Ray calls them."""
    return [p for p in psutil.Process().children(recursive=True) if p.name().startswith("ray::_Other")]


@pytest.fixture(scope="module")
def trial(make_trial):
    return make_trial(epochs=5)


def run(trial, drawn, folder, *monitors):
    return tuner.run([trial], folder, drawn.place, cpus=2, processes=2, monitors=monitors)


def test_kill_9_of_one_process_costs_its_trial_an_epoch_at_most_and_not_a_bit(trial, drawn, tmp_path):
    undisturbed, folder = SweepFolder(tmp_path / "undisturbed"), SweepFolder(tmp_path / "sweep")
    assert run(trial, drawn, undisturbed) == Ending(finished=1)
    heard = Heard()

    def kill():
        [other] = others()
        other.send_signal(signal.SIGKILL)

    killer = Killer(trial, kill)
    assert run(trial, drawn, folder, killer, heard) == Ending(finished=1)
    assert killer.done
    [notice] = folder.trial(trial.trial_id).manifest()["notices"]
    assert notice == "lost its worker and goes on from its last checkpoint"
    assert predictions(folder, [trial]) == predictions(undisturbed, [trial])


def test_the_processes_of_a_trial_listen_on_loopback_alone_and_a_signal_stops_them_in_seconds(tmp_path, under_way):
    long = TinySweep.written(
        tmp_path / "here", tmp_path / "shared", recipe=SIGLIP.replace("epochs=4", "epochs=400")
    )
    driver = under_way(long, *TOGETHER)
    wait_until(trains(long), "the first epoch", 400)
    listening = [(name, s.laddr.ip) for name, s in connections(psutil.Process(driver.pid)) if s.status == "LISTEN"]
    assert {"ray::ImplicitFunc.train", "ray::_Other.follow"} <= {name for name, _ in listening}
    assert [(name, ip) for name, ip in listening if not is_loopback(ip)] == []
    driver.send_signal(signal.SIGTERM)
    code, line, took, left = ended(driver)
    assert (code, line) == (143, f"Stopped by SIGTERM: 0 of 2 trials done; {GOES_ON}.")
    assert took < STOPS_WITHIN * slack()
    assert left == []
    assert is_free(long)
