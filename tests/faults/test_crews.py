"""One of the processes that train a trial together goes away, or the sweep is stopped while they do."""

import signal

import numpy as np
import psutil
import pytest

from analysis.predictions import read_predictions
from dermtune import tuner
from dermtune.ending import Ending
from dermtune.ledger import SweepFolder
from tests.crew_sweep import SIGLIP, TOGETHER
from tests.faults.test_signals import GOES_ON, STOPS_WITHIN, ended, is_free, slack, trains
from tests.faults.test_workers_killed import Killer, Noted, predictions
from tests.security.test_network import connections, is_loopback
from tests.tiny_sweep import TinySweep, wait_until

pytestmark = pytest.mark.usefixtures("no_signal_ignored")


def others():
    """The further processes of trials of this process's Ray, by what Ray calls them."""
    return [p for p in psutil.Process().children(recursive=True) if p.name().startswith("ray::_Other")]


@pytest.fixture(scope="module")
def trial(make_trial):
    return make_trial(epochs=5)


def run(trial, drawn, folder, *monitors, **how):
    return tuner.run([trial], folder, drawn.place, cpus=2, processes=2, monitors=monitors, **how)


def test_kill_9_of_one_process_costs_its_trial_an_epoch_at_most_and_changes_nothing(trial, drawn, fit, tmp_path):
    folder = SweepFolder(tmp_path / "sweep")

    def kill():
        [other] = others()
        other.send_signal(signal.SIGKILL)

    killer = Killer(trial, kill)
    assert run(trial, drawn, folder, killer) == Ending(finished=1)
    assert killer.done
    manifest = folder.trial(trial.trial_id).manifest()
    assert manifest["notices"] == ["lost its worker and goes on from its last checkpoint"]
    assert manifest["attempts"] == 2
    kept = read_predictions(folder.trial(trial.trial_id).predictions("test"))
    np.testing.assert_allclose(kept.logits, fit(trial).test.logits, atol=1e-4)


@pytest.mark.slow
def test_after_that_its_predictions_are_those_of_a_trial_that_lost_no_process_bit_for_bit(trial, drawn, tmp_path):
    folders = [SweepFolder(tmp_path / name) for name in ("undisturbed", "hit")]
    assert run(trial, drawn, folders[0]) == Ending(finished=1)
    killer = Killer(trial, lambda: others()[0].send_signal(signal.SIGKILL))
    assert run(trial, drawn, folders[1], killer) == Ending(finished=1)
    assert killer.done
    assert predictions(folders[1], [trial]) == predictions(folders[0], [trial])


def refuse(noted, trial, epoch):
    raise RuntimeError("expected scalar type Float but found Double")


def test_an_error_of_the_first_process_fails_its_trial_at_once_and_with_its_own_words(trial, drawn, tmp_path):
    folder, noted = SweepFolder(tmp_path / "sweep"), Noted(diary=tmp_path / "diary", mishap=refuse)
    assert run(trial, drawn, folder, execute=noted) == Ending(failed=1)
    assert noted.attempts(trial) == 1
    assert folder.trial(trial.trial_id).failure() == "expected scalar type Float but found Double"


def test_the_processes_of_a_trial_listen_on_loopback_alone_and_a_signal_stops_them_in_seconds(tmp_path, under_way):
    long = TinySweep.written(
        tmp_path / "here", tmp_path / "shared", recipe=SIGLIP.replace("epochs=4", "epochs=400")
    )
    driver = under_way(long, *TOGETHER)
    wait_until(trains(long), "the first epoch", 400)
    listening = [(name, s.laddr.ip) for name, s in connections(psutil.Process(driver.pid)) if s.status == "LISTEN"]
    # The one that tells Ray of its epochs is called by what it does, which for moments is nothing.
    assert {"ray::ImplicitFunc", "ray::_Other"} <= {name.partition(".")[0] for name, _ in listening}
    assert [(name, ip) for name, ip in listening if not is_loopback(ip)] == []
    driver.send_signal(signal.SIGTERM)
    code, line, took, left = ended(driver)
    assert (code, line) == (143, f"Stopped by SIGTERM: 0 of 2 trials done; {GOES_ON}.")
    assert took < STOPS_WITHIN * slack()
    assert left == []
    assert is_free(long)
