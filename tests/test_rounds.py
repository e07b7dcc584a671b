"""Adaptive repeats in the driver: no trial of a decided arm is started, and a kill changes no decision."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from analysis.comparison import compare
from analysis.planning import ASSUMED
from analysis.sources import load_study
from dermtune.board import Board
from dermtune.ending import Ending
from dermtune.integrity import inspect
from dermtune.ledger import SweepFolder
from dermtune.plan import Plan, plan
from dermtune.resuming import print_doubts
from dermtune.rounds import in_rounds
from dermtune.spared import course_in, foretold, spared, to_train
from tests.finished_sweep import write_trial
from tests.plans import planned

LOOKS = (3, 5, 8)
GAINS = {"baseline": 0.0, "focal_gamma=1": 2.0, "focal_gamma=2": 0.05, "focal_gamma=3": -2.0}
"""What each arm adds to the logit of the true class: plainly better, next to nothing, plainly worse."""
SIZES = (150, 100, 50)


def adaptive_plan(*, n_seeds=LOOKS[-1], looks=LOOKS, repeats="adaptive"):
    fixed = planned(n_arms=len(GAINS))
    sweep = replace(fixed.sweep, seeds=range(LOOKS[-1]), looks=looks, repeats=repeats)
    return plan(sweep, fixed.config, recipe="laptop", fingerprints={"data": "abc"}, n_seeds=n_seeds)


class Killed(Exception):
    pass


class Driver:
    """A driver on a folder; its trials take no time and leave drawn predictions."""

    def __init__(self, path, the_plan):
        self.plan, self.folder = the_plan, SweepFolder(path)
        self.folder.path.mkdir(exist_ok=True)
        self.started = []
        self.said = ""

    def run(self, *, kill_after=None, budget=None, fails=()):
        """The sweep's rounds, as `course.run` has them."""
        self.folder.write_plan(self.plan, "Does it pay?")
        console = Console(file=io.StringIO(), width=200)
        board = self.board = Board(self.plan, {})

        def train(trials):
            for number, trial in enumerate(trials):
                if kill_after is not None and len(self.started) >= kill_after:
                    raise Killed
                if budget is not None and len(self.started) >= budget:
                    return Ending(finished=number, out_of_budget=True)
                self.started.append(trial.title)
                if trial.title in fails:
                    self.folder.trial(trial.trial_id).fail("failed", "no luck", "")
                    board.failed(trial, "no luck")
                else:
                    self.leave(trial)
                    board.finished(trial, {"balanced_accuracy": 0.5})
            failed = sum(trial.title in fails for trial in trials)
            return Ending(finished=len(trials) - failed, failed=failed)

        try:
            return in_rounds(board, self.folder, train, console)
        finally:
            self.said = console.file.getvalue()

    def leave(self, trial):
        """The folder of a trial that is done."""
        named = {"trial_id": trial.trial_id, "arm": trial.arm, "seed": trial.seed}
        folder = self.folder.trial(trial.trial_id)
        write_trial(folder.path, named, GAINS, sizes=SIZES, whole=True)
        folder.clear_failure()
        folder.write_history([{"epoch": 1, "train_loss": 1.0, "seconds": 60.0}])
        folder.finish({"arm": trial.arm, "seed": trial.seed, "seconds": 60.0, "scores": {"test": {}}})

    def seeds(self):
        """Seeds of each arm that were started."""
        arms = [title.partition(" ")[0] for title in self.started]
        return {arm: arms.count(arm) for arm in GAINS}

    def report(self):
        return compare(load_study(self.folder.path, quick=True), quick=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    driver = Driver(tmp_path_factory.mktemp("undisturbed"), adaptive_plan())
    driver.ending = driver.run()
    return driver


def decisions(report):
    return {arm.arm: (arm.fate, arm.look, arm.n_seeds) for arm in report.repeats.arms}


def verdicts(report):
    return {c.arm: (c.verdict, c.label, c.look.number, c.delta, c.ci_low_simultaneous) for c in report.comparisons}


def test_a_decided_arm_gets_no_further_seed_and_the_baseline_goes_on_with_those_that_are_open(undisturbed):
    seeds = undisturbed.seeds()
    assert seeds["focal_gamma=1"] == seeds["focal_gamma=3"] == LOOKS[0]
    assert seeds["focal_gamma=2"] == seeds["baseline"] > LOOKS[0]
    assert undisturbed.ending == Ending(finished=len(undisturbed.started))


def test_each_look_is_told_as_it_is_reached(undisturbed):
    first, *_, last = undisturbed.said.splitlines()
    assert first == (
        "Look 1 of 3, at 3 seeds: focal_gamma=1 decided and focal_gamma=3 decided; 1 arm and the baseline go on to "
        "5 seeds."
    )
    assert (
        last == "Look 3 of 3, at 8 seeds: no further arm is decided; 1 arm stays open, and this was the last look."
    )


def test_the_report_has_each_arms_verdict_from_its_own_look_and_misses_nothing(undisturbed):
    report = undisturbed.report()
    assert decisions(report) == {
        "baseline": ("open", 3, 8),
        "focal_gamma=1": ("decided", 1, 3),
        "focal_gamma=2": ("open", 3, 8),
        "focal_gamma=3": ("decided", 1, 3),
    }
    assert {arm: verdict[:3] for arm, verdict in verdicts(report).items()} == {
        "focal_gamma=1": ("keep", "practical", 1),
        "focal_gamma=2": ("inconclusive", "", 3),
        "focal_gamma=3": ("reject", "worse", 1),
    }
    assert {c.arm: len(c.seeds) for c in report.comparisons} == {
        "focal_gamma=1": 3, "focal_gamma=2": 8, "focal_gamma=3": 3,
    }  # fmt: skip
    assert (report.repeats.spent, report.repeats.spared) == (22, 10)
    assert report.problems == ()


def test_a_verdict_is_that_of_a_fixed_sweep_seen_at_the_same_look(undisturbed, tmp_path):
    fixed = Driver(tmp_path, adaptive_plan(n_seeds=3, repeats="fixed"))
    fixed.folder.write_plan(fixed.plan, "")
    for trial in fixed.plan.trials:
        fixed.leave(trial)
    (first, _, last) = compare(load_study(tmp_path, quick=True), quick=True).comparisons
    own = {c.arm: c for c in undisturbed.report().comparisons}
    assert replace(own[first.arm], look=None) == first
    assert replace(own[last.arm], look=None) == last


@pytest.mark.parametrize("kill_after", [1, 12, 14, 21])
def test_a_driver_killed_at_any_moment_goes_on_to_the_same_trials_and_verdicts(undisturbed, tmp_path, kill_after):
    driver = Driver(tmp_path, adaptive_plan())
    with pytest.raises(Killed):
        driver.run(kill_after=kill_after)
    assert len(driver.started) == kill_after
    driver.run()
    assert driver.started == undisturbed.started
    assert driver.report() == undisturbed.report()


def test_a_budget_that_ends_between_two_looks_keeps_the_look_before_and_goes_on_with_more(undisturbed, tmp_path):
    driver = Driver(tmp_path, adaptive_plan())
    assert driver.run(budget=14).out_of_budget
    report = driver.report()
    assert decisions(report)["focal_gamma=1"] == ("decided", 1, 3)
    assert report.look.n_seeds == 3
    assert report.problems == (
        "look 1 of 3: judged on the first 3 seeds; 1 further seed waits for the look at 5 seeds",
        "8 of 22 runs are missing: " + ", ".join(
            f"{arm} · seed {seed}" for seed in range(4, 8) for arm in ("baseline", "focal_gamma=2")
        ),
    )  # fmt: skip
    driver.run()
    assert driver.started == undisturbed.started
    assert verdicts(driver.report()) == verdicts(undisturbed.report())


def test_fewer_seeds_end_at_the_looks_that_they_reach_and_more_go_on_from_there(undisturbed, tmp_path):
    few = Driver(tmp_path, adaptive_plan(n_seeds=4))
    few.run()
    assert few.seeds() == {"baseline": 4, "focal_gamma=1": 3, "focal_gamma=2": 4, "focal_gamma=3": 3}
    assert few.report().look.n_seeds == 3  # the fourth waits
    more = Driver(tmp_path, adaptive_plan())
    more.run()
    assert few.started + more.started == undisturbed.started
    assert verdicts(more.report()) == verdicts(undisturbed.report())


def test_seeds_of_a_decided_arm_that_are_there_all_the_same_are_not_used_and_that_is_said(undisturbed, tmp_path):
    driver = Driver(tmp_path, adaptive_plan())
    driver.folder.write_plan(driver.plan, "")
    for trial in driver.plan.trials:
        driver.leave(trial)
    assert driver.run() == Ending()
    assert driver.started == []
    report = driver.report()
    assert verdicts(report) == verdicts(undisturbed.report())
    assert report.problems == (
        "runs beyond the look at which their arm stopped are there and not used: 5 of focal_gamma=1 and 5 of "
        "focal_gamma=3",
    )
    assert [arm.unused for arm in report.repeats.arms] == [0, 5, 0, 5]


def test_a_trial_that_fails_is_not_tried_twice_in_one_start_and_again_at_the_next(tmp_path):
    driver = Driver(tmp_path, adaptive_plan())
    unlucky = "focal_gamma=2 · seed 1"
    assert driver.run(fails={unlucky}).failed == 1
    assert driver.started.count(unlucky) == 1
    driver.run()
    assert driver.started.count(unlucky) == 2
    assert "seeds that arms lack" not in " ".join(driver.report().problems)


def test_trials_that_no_look_asks_for_stand_in_no_count_of_what_is_to_come(undisturbed):
    board = undisturbed.board
    assert (board.n_trials, board.n_ended, board.waiting, board.missing) == (22, 22, (), ())
    assert board.share_ended == 1
    stopped = {arm.arm: (arm.stopped, arm.states.count("spared")) for arm in board.arms()}
    assert stopped["focal_gamma=1"] == ("decided at look 1", 5)
    assert stopped["baseline"] == ("", 0)


def test_a_folder_from_before_there_were_adaptive_repeats_is_read_as_fixed(undisturbed, tmp_path):
    asked = adaptive_plan(repeats="fixed").to_dict()
    del asked["repeats"]
    assert Plan.from_dict(asked).sweep.repeats == "fixed"
    (tmp_path / "sweep.json").write_text(json.dumps(asked))
    (tmp_path / "trials").symlink_to(undisturbed.folder.path / "trials")
    report = compare(load_study(tmp_path, quick=True), quick=True)
    assert report.repeats is None
    assert all(c.look is None for c in report.comparisons)


def test_a_plan_with_adaptive_repeats_is_read_as_it_was_written():
    written = adaptive_plan().to_dict()
    assert written["repeats"] == "adaptive"
    assert Plan.from_dict(json.loads(json.dumps(written))).to_dict() == written


def test_without_a_run_every_arm_goes_on_to_the_first_look(tmp_path):
    the_plan, folder = adaptive_plan(), SweepFolder(tmp_path)
    assert course_in(folder, the_plan) is None
    assert len(to_train(the_plan, {}, None)) == len(GAINS) * LOOKS[0]
    assert not spared(the_plan, {}, None)


def test_stops_of_another_question_are_not_those_of_this_one_though_its_arms_have_the_same_names(undisturbed):
    the_plan, folder = undisturbed.plan, undisturbed.folder
    assert course_in(folder, the_plan).stopped
    first, *others = the_plan.arms
    changed = replace(the_plan, arms=(first, *(replace(a, levers={"focal_gamma": 4.0}) for a in others)))
    assert course_in(folder, changed) is None
    assert course_in(folder, replace(the_plan, sweep=replace(the_plan.sweep, margin=0.5))) is None


def test_a_start_that_needs_nothing_more_doubts_nothing(undisturbed):
    console = Console(file=io.StringIO(), width=200)
    done = {trial_id: {"commit": "a" * 40} for trial_id in undisturbed.folder.done(undisturbed.plan.trials)}
    print_doubts(undisturbed.folder, done, undisturbed.plan, console)
    assert console.file.getvalue() == ""


def test_what_a_sweep_takes_is_told_beforehand_at_most_and_for_several_truths():
    said = foretold(adaptive_plan(), ASSUMED)
    most, *about = map(int, re.findall(r"(\d+) (?:trials at most|where)", said))
    assert most == 32
    assert most >= about[0] > about[1] > about[2] > len(GAINS) * LOOKS[0] - 1


def test_a_trial_that_a_look_has_spared_is_nothing_that_is_missing(undisturbed, tmp_path):
    assert not [f for f in inspect(undisturbed.folder.path, lambda *_: None).findings if f.severity == "unfinished"]
    cut_off = Driver(tmp_path, adaptive_plan())
    cut_off.run(budget=12)
    (found,) = [f for f in inspect(tmp_path, lambda *_: None).findings if f.severity == "unfinished"]
    assert found.what.startswith("10 trials not begun: ")
    assert "focal_gamma=1" not in found.what
