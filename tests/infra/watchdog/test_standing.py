"""How far a sweep is, by what was pulled of it."""

from dataclasses import replace

import pytest

from dermtune.durable import write_json
from dermtune.ledger import Pruned, TrialFolder
from dermtune.plan import plan
from infra.watchdog.standing import standing
from tests.plans import planned


def trial(rented, trial_id):
    return TrialFolder(rented.folder / "trials" / trial_id)


def seen(rented):
    files = [path for path in rented.folder.rglob("*") if path.is_file()]
    return standing(rented.folder, [str(path.relative_to(rented.folder)) for path in files])


def test_trials_that_are_done_failed_or_neither_are_counted(rented):
    rented.finish("a" * 16)
    assert (str(seen(rented)), seen(rented).over) == ("1 of 2 trials done", False)
    rented.fail("b" * 16)
    assert (str(seen(rented)), seen(rented).over) == ("1 of 2 trials done, 1 failed", True)


def test_a_trial_that_failed_and_is_tried_again_there_is_not_over_though_its_failure_was_pulled(rented):
    rented.finish("a" * 16)
    rented.fail("b" * 16)
    assert not standing(rented.folder, ["sweep.json"]).over


def test_a_trial_whose_files_are_not_all_here_yet_is_not_done(rented):
    rented.finish()
    trial(rented, "a" * 16).predictions("test").unlink()
    assert (seen(rented).n_done, seen(rented).over) == (1, False)


def test_a_first_stage_is_never_the_end(rented):
    rented.finish("a" * 16)
    trial(rented, "b" * 16).write_history([{"epoch": 1}])
    trial(rented, "b" * 16).prune(Pruned(epochs=1, scores={}))
    write_json(rented.folder / "first.json", {})
    assert (seen(rented).n_done, seen(rented).n_trials, seen(rented).over) == (2, 2, False)
    write_json(rented.folder / "selection.json", {})
    assert seen(rented).over


def test_trials_that_no_look_asks_for_are_not_waited_for(rented):
    fixed = planned(n_seeds=6)
    sweep = replace(fixed.sweep, looks=(2, 4), repeats="adaptive")
    adaptive = plan(sweep, fixed.config, recipe="laptop", fingerprints={"data": "abc"})
    write_json(rented.folder / "sweep.json", adaptive.to_dict())
    assert len(adaptive.trials) == 12
    assert seen(rented).n_trials == 8


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"trials": [{}]}', '{"trials": []}'])
def test_a_sweep_json_that_says_nothing_ends_no_machine(rented, text):
    (rented.folder / "sweep.json").write_text(text)
    found = seen(rented)
    assert found is None or not found.over
