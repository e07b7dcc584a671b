"""What is judged at a look: exactly its seeds, and nothing before the first."""

from dataclasses import replace

import pytest

from analysis.interim import at_look
from analysis.study import SetAside

LOOKS = (3, 5, 10)


@pytest.fixture
def sweep(make_study):
    """A study with these seeds, of which the runs `set_aside` (arm, seed, state) are not there."""

    def made(seeds, *, looks=(), looks_taken=(), set_aside=()):
        study = make_study(gains=(0.0,), seeds=tuple(seeds), sizes=(8, 4))
        gone = {(arm, seed) for arm, seed, _ in set_aside}
        arms = [
            replace(arm, runs=tuple(run for run in arm.runs if (arm.name, run.seed) not in gone))
            for arm in study.arms
        ]
        return replace(
            study,
            question=replace(study.question, seeds=tuple(seeds), looks=looks, looks_taken=looks_taken),
            arms=tuple(arm for arm in arms if arm.runs),
            set_aside=tuple(SetAside(arm=arm, seed=seed, state=state) for arm, seed, state in set_aside),
        )

    return made


def seeds_of(study):
    return {arm.name: tuple(run.seed for run in arm.runs) for arm in study.arms}


def test_a_study_with_one_look_is_left_as_it_is(sweep):
    study = sweep(range(5))
    looked = at_look(study)
    assert looked.study is study
    assert looked.look is None


def test_a_look_rests_on_exactly_its_seeds_in_the_sweeps_order(sweep):
    looked = at_look(sweep((7, 3, 1, 0), looks=LOOKS))
    assert seeds_of(looked.study) == {"baseline": (7, 3, 1), "arm0": (7, 3, 1)}
    assert looked.study.problems == (
        "look 1 of 3: judged on the first 3 seeds; 1 further seed waits for the look at 5 seeds",
    )


def test_seeds_beyond_the_last_look_are_left_out_and_said(sweep):
    looked = at_look(sweep(range(12), looks=LOOKS))
    assert looked.look.n_seeds == len(looked.study.arms[0].runs) == 10
    assert looked.study.problems == (
        "look 3 of 3: judged on the first 10 seeds; 2 further seeds are left out, for no later look is declared",
    )


def test_a_look_that_uses_every_seed_has_nothing_to_say(sweep):
    looked = at_look(sweep(range(5), looks=LOOKS, looks_taken=(3,)))
    assert (looked.look.number, looked.look.declared, looked.study.problems) == (2, True, ())


def test_before_the_first_look_all_runs_are_described_and_the_wait_is_said(sweep):
    looked = at_look(sweep(range(2), looks=LOOKS))
    assert not looked.look.judges
    assert seeds_of(looked.study) == {"baseline": (0, 1), "arm0": (0, 1)}
    assert looked.study.problems == ("no verdict before the first look, at 3 seeds an arm; 2 are complete",)


@pytest.mark.parametrize("state", ["failed", "diverged", "damaged"])
def test_a_look_does_not_wait_for_a_run_that_failed(sweep, state):
    looked = at_look(sweep(range(3), looks=LOOKS, set_aside=[("arm0", 1, state)]))
    assert looked.look.number == 1
    assert seeds_of(looked.study) == {"baseline": (0, 1, 2), "arm0": (0, 2)}
    assert looked.study.problems == ("the arms' seeds differ: arm0 lacks 1",)


def test_a_look_waits_for_a_run_that_may_still_come_and_takes_no_later_seed_in_its_place(sweep):
    looked = at_look(sweep(range(5), looks=LOOKS, set_aside=[("arm0", 1, "missing")]))
    assert (looked.look.number, looked.look.n_seeds) == (0, 1)


def test_a_look_waits_for_an_arm_of_which_there_is_nothing_yet(sweep):
    study = sweep(range(3), looks=LOOKS, set_aside=[("arm0", seed, "missing") for seed in range(3)])
    assert not at_look(study).look.judges


def test_what_a_look_leaves_out_is_no_difference_between_the_arms(sweep):
    looked = at_look(sweep(range(4), looks=LOOKS, set_aside=[("arm0", 3, "missing")]))
    assert [line.partition(":")[0] for line in looked.study.problems] == ["look 1 of 3"]


def test_an_arm_without_a_run_at_the_look_is_left_out_and_said(sweep):
    looked = at_look(sweep(range(4), looks=LOOKS, set_aside=[("arm0", seed, "failed") for seed in range(3)]))
    assert seeds_of(looked.study) == {"baseline": (0, 1, 2)}
    assert looked.study.problems[1] == "arm arm0 has no finished run with these seeds and is left out"


def test_a_second_look_that_nobody_declared_is_said_plainly(sweep):
    looked = at_look(sweep(range(10), looks_taken=(5,)))
    assert seeds_of(looked.study)["arm0"] == tuple(range(10))
    assert looked.study.problems == (
        "the look at 5 seeds was not declared, and such a look has used the whole 5% already: this report, at 10 "
        "seeds, is adjusted as if every look had been declared, which cannot take that back; declare looks in the "
        "sweep file before the first report",
    )


def test_of_several_looks_that_nobody_declared_the_first_had_used_it_all(sweep):
    (line,) = at_look(sweep(range(10), looks_taken=(3, 5))).study.problems
    assert line.startswith(
        "the looks at 3 and 5 seeds were not declared, and the first such look has used the whole 5%"
    )


def test_the_same_seeds_seen_again_are_no_second_look(sweep):
    assert at_look(sweep(range(5), looks_taken=(5,))).look is None
