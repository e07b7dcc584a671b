"""What a search proposes and learns outlasts any kill: nothing is lost, doubled or proposed anew."""

import shutil

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from dermtune.journal import FILE, JournalError, trials, tried
from tests.searches import EPOCHS, hill, searched
from tests.searching import Searching, levers_of


def test_the_baseline_comes_first_and_there_are_as_many_points_as_were_asked_for(tmp_path):
    search = Searching(tmp_path)
    proposed = search.run(search.journal())
    assert [trial.arm for trial in proposed] == ["baseline", *(f"point-{n}" for n in range(1, 6))]
    assert [one.state for one in tried(search.points, search.folder)] == ["done"] * 6
    assert trials(search.points, search.folder) == tuple(proposed)


@pytest.mark.parametrize("n_before", range(1, 14, 3))
def test_a_search_that_is_taken_up_again_proposes_what_an_undisturbed_one_does(tmp_path, n_before):
    points = searched(n_points=14)
    whole = Searching(tmp_path / "whole", points)
    undisturbed = whole.run(whole.journal())
    killed = Searching(tmp_path / "killed", points)
    first = killed.run(killed.journal(), n_before)
    assert levers_of(first + killed.run(killed.journal())) == levers_of(undisturbed)


def test_points_that_were_under_way_when_a_driver_died_go_on_with_the_same_levers(tmp_path):
    search = Searching(tmp_path)
    journal = search.journal()
    done, *under_way = (journal.propose() for _ in range(3))
    search.finish(done)  # and the driver is gone before it tells
    again = search.journal()
    assert again.open_trials() == tuple(under_way)
    assert [one.number for one in tried(search.points, search.folder)] == [0]
    assert len(search.run(again)) == 3, "six in all"


def test_what_ended_before_the_driver_could_tell_is_told_by_the_next(tmp_path):
    search = Searching(tmp_path)
    journal = search.journal()
    done, pruned, open_one = (journal.propose() for _ in range(3))
    search.finish(done)
    search.prune(pruned)
    search.journal()
    states = [trial.state for trial in search.study().trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING]
    assert [one.state for one in tried(search.points, search.folder)] == ["done", "pruned"]
    assert open_one.arm == "point-2"


def test_a_pruned_point_is_kept_with_what_each_epoch_scored(tmp_path):
    search = Searching(tmp_path)
    journal = search.journal()
    trial = journal.propose()
    search.prune(trial, epochs=3)
    assert journal.settle(trial)
    [kept] = search.study().trials
    best = hill(trial.levers)["balanced_accuracy"]
    assert kept.intermediate_values == pytest.approx({n: best * n / EPOCHS for n in (1, 2, 3)})
    assert kept.value == pytest.approx(best * 3 / EPOCHS)
    [one] = tried(search.points, search.folder)
    assert (one.state, one.epochs, one.scores) == ("pruned", 3, hill(trial.levers))
    assert search.journal().open_trials() == ()


@pytest.mark.parametrize("torn", ['{"op_code":4,"worker_id":"x","stu', '{"op_code":4', "{", "\x00\x00\x00"])
def test_a_last_line_that_a_kill_cut_off_is_no_line(tmp_path, torn):
    search = Searching(tmp_path)
    before = search.run(search.journal(), 3)
    with (search.folder.search / FILE).open("a") as file:
        file.write(torn)
    assert len(tried(search.points, search.folder)) == 3, "who only reads is not disturbed either"
    after = search.run(search.journal())
    assert [one.name for one in tried(search.points, search.folder)] == [trial.arm for trial in before + after]


def test_every_prefix_of_the_journal_is_a_search_that_goes_on(tmp_path):
    """A kill cuts the file anywhere: each point of the rest is as it was, and in the end there are all."""
    search = Searching(tmp_path, searched(n_points=4, confirm=1))
    proposed = levers_of(search.run(search.journal()))
    content = (search.folder.search / FILE).read_bytes()
    for end in range(0, len(content), 97):
        (search.folder.search / FILE).write_bytes(content[:end])
        search.run(search.journal())
        assert levers_of(trials(search.points, search.folder)) == proposed


def test_a_journal_that_is_damaged_is_refused_in_a_line_that_says_what_to_do(tmp_path):
    search = Searching(tmp_path)
    search.run(search.journal(), 2)
    path = search.folder.search / FILE
    path.write_text(path.read_text().replace('"op_code"', "op code", 1))
    for read in (search.journal, lambda: tried(search.points, search.folder)):
        with pytest.raises(
            JournalError, match=rf"{path} must hold what the search has proposed.*move it away"
        ) as no:
            read()
        assert "\n" not in str(no.value)


def test_points_with_equal_levers_are_one_trial_and_an_exhausted_space_comes_to_an_end(tmp_path):
    space = {"focal_form": CategoricalDistribution(["soft", "modulated"])}
    points = searched(space=space, baseline={"focal_form": "soft"}, n_points=8)
    search = Searching(tmp_path, points, scores=lambda levers: {"balanced_accuracy": 0.5, "top1": 0.5})
    search.run(search.journal())
    assert len(tried(points, search.folder)) == 2
    assert len(list((search.folder.path / "trials").iterdir())) == 2
    assert {trial.state for trial in search.study().trials} == {TrialState.COMPLETE}
    assert len(search.study().trials) == 8


def test_a_twin_of_a_point_under_way_ends_with_it(tmp_path):
    space = {"focal_form": CategoricalDistribution(["soft"])}
    search = Searching(
        tmp_path,
        searched(space=space, baseline={"focal_form": "soft"}),
        scores=lambda _: {"balanced_accuracy": 0.5, "top1": 0.5},
    )
    journal = search.journal()
    first, twin = journal.propose(), journal.propose()
    assert (first, journal.open_trials()) == (twin, (first,))
    search.finish(first)
    journal.settle(first)
    assert journal.open_trials() == ()


def test_a_point_that_failed_is_tried_again_at_the_next_start_as_the_same_point(tmp_path):
    search = Searching(tmp_path)
    journal = search.journal()
    proposed = [journal.propose() for _ in range(6)]
    for trial in proposed:
        (search.fail if trial is proposed[2] else search.finish)(trial)
        journal.settle(trial)
    assert journal.is_full
    assert [one.state for one in tried(search.points, search.folder)].count("failed") == 1
    again = search.journal()
    assert again.is_full, "it is no further point"
    assert again.open_trials() == (proposed[2],)
    assert search.folder.trial(proposed[2].trial_id).failure() is None
    search.finish(proposed[2])
    again.settle(proposed[2])
    assert [(one.number, one.state) for one in tried(search.points, search.folder)] == [
        (n, "done") for n in range(6)
    ]
    assert search.journal().open_trials() == ()


def test_done_points_that_were_damaged_and_set_aside_run_again_as_the_same_points(tmp_path):
    search = Searching(tmp_path)
    proposed = search.run(search.journal())
    lost = (proposed[0], proposed[2])
    for trial in lost:
        shutil.rmtree(search.folder.trial(trial.trial_id).path)
    for _ in range(2):  # the second start finds them open, and opens none again
        again = search.journal()
        assert again.is_full, "they are no further points"
        assert again.open_trials() == lost
        assert len(search.study().trials) == 6 + 2
    for trial in lost:
        search.finish(trial)
        again.settle(trial)
    assert [(one.number, one.state) for one in tried(search.points, search.folder)] == [
        (n, "done") for n in range(6)
    ]
    assert search.journal().open_trials() == ()


def test_another_question_in_the_same_folder_learns_nothing_from_this_one(tmp_path):
    one = Searching(tmp_path)
    one.run(one.journal())
    wider = searched(space={**one.points.search.space, "focal_gamma": FloatDistribution(0, 8)})
    other = Searching(tmp_path, wider)
    assert tried(other.points, other.folder) == ()
    baseline = other.journal().propose()
    assert baseline.trial_id == one.points.baseline.trial_id
    assert [point.number for point in tried(other.points, other.folder)] == [0], "done already, for both"
    assert len(tried(one.points, one.folder)) == 6


def test_more_points_go_on_where_fewer_ended(tmp_path):
    few = Searching(tmp_path, searched(n_points=4))
    first = few.run(few.journal())
    more = Searching(tmp_path, searched(n_points=7))
    assert len(more.run(more.journal())) == 3
    assert trials(more.points, more.folder)[:4] == tuple(first)


def test_what_only_reads_makes_no_journal(tmp_path):
    search = Searching(tmp_path)
    assert (tried(search.points, search.folder), trials(search.points, search.folder)) == ((), ())
    assert list(tmp_path.iterdir()) == []
