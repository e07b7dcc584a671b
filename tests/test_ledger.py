import json
import multiprocessing
import os
import platform
from dataclasses import replace

import pytest

from dermtune.ledger import LedgerError, Pruned, SweepFolder, TrialFolder
from dermtune.plan import Plan, Sweep, plan
from dermtune.recipes import laptop

SWEEP = Sweep(name="gamma", grid={"focal_gamma": (0.0, 2.0)}, baseline={"focal_gamma": 0.0}, seeds=range(5))


def planned(*, n_seeds: int, data: str = "abc", sweep: Sweep = SWEEP) -> Plan:
    return plan(sweep, laptop().config, recipe="laptop", fingerprints={"data": data}, n_seeds=n_seeds)


def finish(folder: TrialFolder) -> None:
    folder.write_history([{"epoch": 1, "train_loss": 0.5}])
    for split in ("val", "test"):
        folder.predictions(split).write_bytes(split.encode())
    folder.finish({"seconds": 3.0})


def listed(folder: SweepFolder) -> list[tuple[str, int]]:
    asked = json.loads((folder.path / "sweep.json").read_text())
    return [(trial["arm"], trial["seed"]) for trial in asked["trials"]]


def test_a_trial_is_done_once_its_manifest_is_there(tmp_path):
    folder = TrialFolder(tmp_path / "t")
    assert not folder.is_done()
    folder.checkpoint.mkdir(parents=True)
    (folder.checkpoint / "weights").write_bytes(b"0")
    finish(folder)
    assert folder.is_done()
    assert folder.manifest()["seconds"] == 3.0
    assert not folder.checkpoint.exists()
    assert not list(folder.path.glob(".*")), "nothing half-written is left"


@pytest.mark.parametrize("name", ["val.parquet", "test.parquet", "history.csv"])
def test_a_trial_with_an_altered_or_missing_file_is_not_done(tmp_path, name):
    folder = TrialFolder(tmp_path)
    finish(folder)
    (tmp_path / name).write_bytes(b"altered")
    assert not folder.is_done()
    (tmp_path / name).unlink()
    assert not folder.is_done()


@pytest.mark.parametrize("text", ["", "[]", '{"status": "done"}', '{"status": "done", "files": 3}', '{"stat'])
def test_a_damaged_manifest_is_no_done_marker(tmp_path, text):
    folder = TrialFolder(tmp_path)
    finish(folder)
    (tmp_path / "manifest.json").write_text(text)
    assert not folder.is_done()


def test_a_finished_trial_cannot_lack_a_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        TrialFolder(tmp_path).finish({})
    assert not (tmp_path / "manifest.json").exists()


def test_a_failure_is_kept_until_the_trial_is_tried_again(tmp_path):
    folder = TrialFolder(tmp_path / "t")
    assert folder.failure() is None
    folder.fail("diverged", "loss is nan in epoch 2", "Traceback")
    assert folder.failure() == "loss is nan in epoch 2"
    assert json.loads((folder.path / "failure.json").read_text())["status"] == "diverged"
    finish(folder)
    assert folder.failure() is None


def test_history_has_a_column_for_everything_that_any_epoch_has(tmp_path):
    folder = TrialFolder(tmp_path)
    folder.write_history([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4, "lr": 0.1}])
    assert folder.history.read_text() == "epoch,loss,lr\n1,0.5,\n2,0.4,0.1\n"


def test_asking_for_fewer_seeds_hides_no_done_trial(tmp_path):
    folder = SweepFolder(tmp_path)
    whole = planned(n_seeds=5)
    folder.write_plan(whole, "?")
    for trial in whole.trials:
        if trial.seed != 4:
            finish(folder.trial(trial.trial_id))
    assert folder.write_plan(planned(n_seeds=3), "?") == 0
    assert listed(folder) == [(t.arm, t.seed) for t in whole.trials if t.seed != 4]
    assert len(folder.done(whole.trials)) == 8


def test_more_seeds_extend_a_sweep(tmp_path):
    folder = SweepFolder(tmp_path)
    folder.write_plan(planned(n_seeds=2), "?")
    assert folder.write_plan(planned(n_seeds=7), "?") == 0
    assert len(listed(folder)) == 14


def sweep_of(folder: SweepFolder, n_seeds: int, *, reported: int | None, **changes) -> list[int]:
    """The looks taken before it, once a sweep of so many seeds is done and its report has judged `reported`."""
    asked = planned(n_seeds=n_seeds, **changes)
    folder.write_plan(asked, "?")
    taken = json.loads((folder.path / "sweep.json").read_text())["looks_taken"]
    for trial in asked.trials:
        finish(folder.trial(trial.trial_id))
    if reported is not None:
        folder.report.mkdir(exist_ok=True)
        arms = [{"arm": "baseline", "n_seeds": reported}, {"arm": "focal_gamma=2", "n_seeds": reported - 1}]
        (folder.report / "report.json").write_text(json.dumps({"arms": arms}))
    return taken


def test_a_report_on_fewer_seeds_is_a_look_that_was_taken(tmp_path):
    folder = SweepFolder(tmp_path)
    assert sweep_of(folder, 2, reported=2) == []
    assert sweep_of(folder, 2, reported=2) == [], "the same seeds again are the same look"
    assert sweep_of(folder, 3, reported=None) == [2]
    assert sweep_of(folder, 3, reported=3) == [2], "the sweep that ended without a report took no look"
    assert sweep_of(folder, 5, reported=5) == [2, 3]
    assert sweep_of(folder, 2, reported=5) == [2, 3], "the further seeds are still there"


def test_another_question_was_never_looked_at(tmp_path):
    folder = SweepFolder(tmp_path)
    sweep_of(folder, 2, reported=2)
    assert sweep_of(folder, 5, reported=None, data="other") == []


def test_a_report_before_the_first_declared_look_judged_nothing(tmp_path):
    folder = SweepFolder(tmp_path)
    declared = replace(SWEEP, looks=(3, 5))
    sweep_of(folder, 2, reported=2, sweep=declared)
    assert sweep_of(folder, 4, reported=3, sweep=declared) == []
    assert sweep_of(folder, 5, reported=5, sweep=declared) == [3]


def test_looks_that_are_declared_afterwards_do_not_undo_the_one_that_was_taken(tmp_path):
    folder = SweepFolder(tmp_path)
    sweep_of(folder, 2, reported=2)
    declared = replace(SWEEP, looks=(3, 5))
    assert sweep_of(folder, 3, reported=None, sweep=declared) == [2]
    assert sweep_of(folder, 5, reported=3, sweep=declared) == [2]


def test_a_sweep_json_from_before_there_were_looks_goes_on(tmp_path):
    folder = SweepFolder(tmp_path)
    sweep_of(folder, 2, reported=2)
    asked = json.loads((tmp_path / "sweep.json").read_text())
    del asked["looks"], asked["looks_taken"]
    (tmp_path / "sweep.json").write_text(json.dumps(asked))
    assert sweep_of(folder, 3, reported=None) == [2]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"arms": []}', '{"arms": [{"arm": "baseline"}]}'])
def test_a_report_that_cannot_be_read_is_named_because_it_was_a_look(tmp_path, text):
    folder = SweepFolder(tmp_path)
    sweep_of(folder, 2, reported=2)
    (folder.report / "report.json").write_text(text)
    before = (tmp_path / "sweep.json").read_text()
    with pytest.raises(
        LedgerError, match=r"report\.json must be the last report, which says how many seeds it judged"
    ):
        folder.write_plan(planned(n_seeds=3), "?")
    assert (tmp_path / "sweep.json").read_text() == before


def test_a_changed_configuration_replaces_the_plan_and_counts_what_it_leaves_unused(tmp_path):
    folder = SweepFolder(tmp_path)
    old = planned(n_seeds=3)
    folder.write_plan(old, "?")
    finish(folder.trial(old.trials[0].trial_id))
    new = planned(n_seeds=2, data="other")
    assert folder.write_plan(new, "?") == 1
    assert listed(folder) == [(t.arm, t.seed) for t in new.trials]
    assert folder.write_plan(old, "?") == 0, "what was done counts again when it is asked for again"


def test_an_arm_that_is_no_longer_asked_for_leaves_the_plan(tmp_path):
    folder = SweepFolder(tmp_path)
    both = planned(n_seeds=1)
    folder.write_plan(both, "?")
    for trial in both.trials:
        finish(folder.trial(trial.trial_id))
    alone = planned(n_seeds=1, sweep=replace(SWEEP, grid={"focal_gamma": (0.0,)}))
    assert folder.write_plan(alone, "?") == 1
    assert listed(folder) == [("baseline", 0)]


def test_a_damaged_plan_is_never_overwritten(tmp_path):
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(LedgerError, match=r"sweep\.json must hold what was asked"):
        SweepFolder(tmp_path).write_plan(planned(n_seeds=1), "?")
    assert (tmp_path / "sweep.json").read_text() == "{"


def test_a_second_driver_is_refused_and_told_of_the_first(tmp_path):
    folder = SweepFolder(tmp_path)
    with (
        folder.lock(),
        pytest.raises(LedgerError, match=f"process {os.getpid()} on {platform.node()} runs it already"),
        folder.lock(),
    ):
        pass
    with folder.lock():
        pass


def _take_and_die(path):
    with SweepFolder(path).lock():
        os._exit(1)


def test_the_lock_of_a_driver_that_died_is_free(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_take_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert "pid" in (tmp_path / "driver.lock").read_text()
    with SweepFolder(tmp_path).lock():
        pass


def test_a_pruned_trial_says_how_far_it_came_and_keeps_its_history_alone(tmp_path):
    folder = TrialFolder(tmp_path / "t")
    assert folder.pruned() is None
    folder.checkpoint.mkdir(parents=True)
    folder.write_history([{"epoch": 1, "val_top1": 0.5}])
    folder.prune(Pruned(epochs=1, scores={"top1": 0.5}))
    assert TrialFolder(folder.path).pruned() == Pruned(epochs=1, scores={"top1": 0.5})
    assert {path.name for path in folder.path.iterdir()} == {"history.csv", "pruned.json"}
    assert (folder.is_done(), folder.damage(), folder.failure(), folder.epochs_kept()) == (False, None, None, 0)


def test_a_trial_that_is_trained_whole_after_all_is_pruned_no_more(tmp_path):
    folder = TrialFolder(tmp_path / "t")
    folder.path.mkdir()
    folder.prune(Pruned(epochs=1, scores={}))
    finish(folder)
    assert (folder.is_done(), folder.pruned()) == (True, None)


@pytest.mark.parametrize("content", ["", "{}", '{"epochs": "two", "scores": {}}', "[]"])
def test_a_damaged_record_of_a_pruned_trial_is_an_error_that_names_it(tmp_path, content):
    folder = TrialFolder(tmp_path / "t")
    folder.path.mkdir()
    (folder.path / "pruned.json").write_text(content)
    with pytest.raises(LedgerError, match=r"pruned.json must say how far the trial came.*move it away"):
        folder.pruned()
