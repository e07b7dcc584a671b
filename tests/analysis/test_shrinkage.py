"""What is left of a gain from where it was picked to where it is judged."""

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from analysis.comparison import compare
from analysis.findings.selection import FirstStage, Picked, Tried
from analysis.metrics import outcome, scores
from analysis.predictions import read_predictions
from analysis.shrinkage import SecondStage, shrinkage
from analysis.sources import load_study
from analysis.split import softmax
from analysis.study import Arm, Question, Run, Study
from tests.finished_search import screened, searched, write_selection
from tests.finished_sweep import write_sweep

METRIC = "balanced_accuracy"


def first_stage(scores, *, picks, pruned=(), stage="search", metric=METRIC, seeds=(1000,)):
    """Points with these scores, the baseline first, and these of them picked."""
    tried = tuple(
        Tried(
            number=number,
            name=f"point-{number}" if number else "baseline",
            levers={},
            state="pruned" if number in pruned else "done",
            epochs=9,
            scores={metric: score},
        )
        for number, score in enumerate(scores)
    )
    return FirstStage(
        stage=stage,
        metric=metric,
        objectives=(metric,),
        seeds=seeds,
        epochs=9,
        tried=tried,
        picks=tuple(Picked(arm=f"pick-{place}", number=number) for place, number in enumerate(picks, start=1)),
    )


def second_stage(val, *, test=None, run_sd=0.006):
    """Scores on val, an arm each, with seeds from 0 on."""
    return SecondStage(
        baseline="baseline",
        val={arm: dict(enumerate(scores)) for arm, scores in val.items()},
        test=test or {},
        run_sd=run_sd,
    )


BY_HAND = (
    first_stage([0.60, 0.61, 0.63, 0.64], picks=[3, 2]),
    second_stage(
        {"baseline": [0.60, 0.62, 0.61], "pick-1": [0.61, 0.64, 0.61], "pick-2": [0.60, 0.62, 0.64]},
    ),
)


def test_each_picks_deltas_are_those_of_a_calculation_by_hand():
    one, two = shrinkage(*BY_HAND).confirmed
    assert (one.arm, one.number, one.n_seeds) == ("pick-1", 3, 3)
    assert (one.first, two.first) == (pytest.approx(0.04), pytest.approx(0.03))
    assert (one.fresh, two.fresh) == (pytest.approx(0.01), pytest.approx(0.01))
    assert (one.shrinkage, two.shrinkage) == (pytest.approx(0.03), pytest.approx(0.02))
    assert (one.test, one.ci_low, one.ci_high) == (None, None, None)


def test_the_mean_shrinkage_has_students_interval_over_seeds():
    found = shrinkage(*BY_HAND).optimism
    by_seed = 0.035 - np.array([0.005, 0.01, 0.015])  # mean over both picks of the deltas with seeds 0, 1, 2
    low, high = stats.t.interval(0.95, 2, loc=by_seed.mean(), scale=stats.sem(by_seed))
    assert found.mean == pytest.approx(by_seed.mean()) == pytest.approx(0.025)
    assert (found.ci_low, found.ci_high) == (pytest.approx(low), pytest.approx(high))
    assert (found.n_picks, found.n_seeds, found.why_not) == (2, 3, "")


def test_the_yardstick_is_known_noise_times_the_expected_best_of_the_points():
    ruler = shrinkage(*BY_HAND).yardstick
    left = np.array(list(map(list, (scores.values() for scores in BY_HAND[1].val.values()))))
    left = left - left.mean(1, keepdims=True) - left.mean(0) + left.mean()
    assert (ruler.n_whole, ruler.df) == (3, 4)
    c4 = stats.chi(4).mean() / 2  # a root mean square of four degrees of freedom, in standard deviations
    assert ruler.sd == pytest.approx(math.sqrt((left**2).sum() / 4) / c4)
    assert ruler.best == pytest.approx(ruler.sd * 3 / (2 * math.sqrt(math.pi)))
    one, two = shrinkage(*BY_HAND).confirmed
    assert (one.by_chance, two.by_chance) == (pytest.approx(ruler.best), pytest.approx(0, abs=1e-9))


def test_pruned_points_count_only_in_what_the_yardstick_is_at_most():
    first = first_stage([0.60] + [0.61] * 17 + [0.5] * 20, picks=[1], pruned=range(18, 38))
    ruler = shrinkage(first, second_stage({"baseline": [0.6]})).yardstick
    assert (ruler.n_whole, ruler.n_scored) == (17, 37)
    assert ruler.best < ruler.best_scored


def test_noise_that_cannot_be_measured_is_assumed_and_three_seeds_show_the_designs_figure():
    first = first_stage([0.60] + [0.61] * 17, picks=[1], seeds=(1000, 1001, 1002))
    ruler = shrinkage(first, second_stage({"baseline": [0.6], "pick-1": [0.61]})).yardstick
    assert (ruler.df, ruler.sd) == (None, 0.006)
    assert 100 * ruler.best == pytest.approx(0.62, abs=0.005)


def test_of_a_metric_of_which_less_is_better_chance_shows_a_fall():
    first = first_stage([0.9, 0.8, 0.7], picks=[2], metric="nll")
    found = shrinkage(first, second_stage({"baseline": [0.9, 0.9], "pick-1": [0.85, 0.85]}))
    assert found.yardstick.best < 0
    assert found.optimism.mean == pytest.approx(-0.15)


def test_one_fresh_seed_gives_a_mean_without_an_interval_and_says_why():
    found = shrinkage(BY_HAND[0], second_stage({"baseline": [0.6], "pick-1": [0.61], "pick-2": [0.6]})).optimism
    assert (found.ci_low, found.ci_high, found.n_seeds) == (None, None, 1)
    assert "one seed" in found.why_not


def test_picks_that_got_unequal_seeds_are_compared_on_those_that_all_have():
    first, second = BY_HAND
    longer = {arm: {**scores, **({} if arm == "pick-2" else {3: 0.9})} for arm, scores in second.val.items()}
    unequal = shrinkage(first, replace(second, val=longer))
    assert unequal.optimism == shrinkage(first, second).optimism
    assert [one.n_seeds for one in unequal.confirmed] == [4, 3]


def test_a_pick_without_a_run_leaves_the_others_and_none_leaves_nothing():
    first, second = BY_HAND
    without = {arm: scores for arm, scores in second.val.items() if arm != "pick-2"}
    found = shrinkage(first, replace(second, val=without))
    assert (found.confirmed[1].fresh, found.confirmed[1].shrinkage) == (None, None)
    assert (found.optimism.n_picks, found.optimism.mean) == (1, pytest.approx(0.03))
    assert shrinkage(first, second_stage({})).optimism is None


def test_a_baseline_that_did_not_reach_its_end_leaves_the_first_stage_without_deltas():
    first, second = BY_HAND
    lost = replace(first, tried=(replace(first.tried[0], state="failed", scores={}), *first.tried[1:]))
    found = shrinkage(lost, second)
    assert [(one.first, one.shrinkage) for one in found.confirmed] == [(None, None)] * 2
    assert [one.fresh for one in found.confirmed] == [one.fresh for one in shrinkage(first, second).confirmed]
    assert found.optimism is None


def test_a_screening_has_kendalls_tau_in_place_of_shrinkage():
    first = first_stage([0.60, 0.64, 0.63, 0.62, 0.61], picks=[1, 2, 3, 4], stage="screen")
    fresh = {"pick-1": [0.63], "pick-2": [0.64], "pick-3": [0.62], "pick-4": [0.61]}
    found = shrinkage(first, second_stage({"baseline": [0.6], **fresh}))
    assert (found.optimism, found.yardstick) == (None, None)
    assert found.agreement.tau_val == pytest.approx(1 - 2 * 1 / 6)  # one of six pairs the other way round
    assert (found.agreement.tau_test, found.agreement.n_arms) == (None, 4)


def test_the_deltas_of_a_folder_are_those_that_sklearn_has_of_its_files(tmp_path):
    gains = {"baseline": 0.0, "pick-1": 0.2, "pick-2": 0.1}
    write_sweep(tmp_path, gains, seeds=range(3), sizes=(60, 30, 20), whole=True)
    plain = searched(confirm=2)
    write_selection(tmp_path, plain)
    report = compare(load_study(tmp_path), n_resamples=200)
    found = report.selection.confirmed

    def val_score(arm, seed):
        run = read_predictions(tmp_path / "trials" / f"{list(gains).index(arm):03d}-{seed}" / "val.parquet")
        return balanced_accuracy_score(run.label, run.logits.argmax(1))

    for one, pick, comparison in zip(found, plain["picks"], report.comparisons, strict=True):
        fresh = np.mean([val_score(one.arm, seed) - val_score("baseline", seed) for seed in range(3)])
        assert one.fresh == pytest.approx(fresh)
        seen = [plain["tried"][number]["scores"][METRIC] for number in (pick["number"], 0)]
        assert one.first == pytest.approx(seen[0] - seen[1])
        ends = (comparison.ci_low_simultaneous, comparison.ci_high_simultaneous)
        assert (one.test, one.ci_low, one.ci_high) == (comparison.delta, *ends)


def test_a_report_on_another_metric_or_baseline_leaves_test_out(tmp_path):
    write_sweep(tmp_path, {"baseline": 0.0, "pick-1": 0.2, "pick-2": 0.1}, seeds=[0, 1], sizes=(30, 20), whole=True)
    write_selection(tmp_path, searched(confirm=2))
    study = load_study(tmp_path)
    as_asked = compare(study, n_resamples=100).selection
    for other in ({"metric": "top1"}, {"baseline": "pick-2"}):
        found = compare(study, n_resamples=100, **other).selection
        assert [one.test for one in found.confirmed] == [None, None]
        assert [one.fresh for one in found.confirmed] == [one.fresh for one in as_asked.confirmed]
    assert None not in [one.test for one in as_asked.confirmed]


def test_a_screenings_survivors_keep_their_names(tmp_path):
    write_sweep(tmp_path, {"baseline": 0.0, "b": 0.2, "a": 0.1}, seeds=[0, 1], sizes=(30, 20), whole=True)
    write_selection(tmp_path, screened({"baseline": 0.6, "a": 0.61, "b": 0.62, "c": 0.5}, confirm=2))
    found = compare(load_study(tmp_path), n_resamples=100).selection
    assert [one.arm for one in found.confirmed] == ["b", "a"]
    assert all(one.fresh is not None and one.by_chance is None for one in found.confirmed)


N_POINTS, N_PICKS, N_SEEDS = 26, 3, 5
SHARED_SD, OWN_SD = 0.003, 0.006
"""What a seed does to every arm alike, and what a run does besides."""


def drawn_world(rng, *, lever_sd):
    """What a search and its confirmation find where the points' true deltas vary by `lever_sd`; with the truth."""
    worth = np.concatenate([[0.0], lever_sd * rng.normal(size=N_POINTS)])
    scores = 0.66 + worth + SHARED_SD * rng.normal() + OWN_SD * rng.normal(size=N_POINTS + 1)
    picks = 1 + np.argsort(-scores[1:])[:N_PICKS]
    shared = SHARED_SD * rng.normal(size=N_SEEDS)
    arms = {"baseline": 0, **{f"pick-{place}": number for place, number in enumerate(picks, start=1)}}
    val = {arm: 0.66 + worth[number] + shared + OWN_SD * rng.normal(size=N_SEEDS) for arm, number in arms.items()}
    first = first_stage(scores.tolist(), picks=picks.tolist())
    return shrinkage(first, second_stage({arm: of_arm.tolist() for arm, of_arm in val.items()})), worth[picks]


def drawn_worlds(n, *, lever_sd, seed=1):
    rng = np.random.default_rng(seed)
    return [drawn_world(rng, lever_sd=lever_sd) for _ in range(n)]


@pytest.fixture(params=[400, pytest.param(10_000, marks=pytest.mark.slow)], scope="module")
def null_worlds(request):
    return [found for found, _ in drawn_worlds(request.param, lever_sd=0.0)]


def near(values, expected):
    """Whether the mean of the values is the expected one, to four standard errors."""
    values = np.asarray(values)
    return abs(values.mean() - expected) < 4 * values.std(ddof=1) / math.sqrt(len(values))


def test_of_a_search_in_which_no_lever_does_anything_nothing_is_left_with_fresh_seeds(null_worlds):
    for place in range(N_PICKS):
        assert near([found.confirmed[place].fresh for found in null_worlds], 0.0)
        assert np.mean([found.confirmed[place].first for found in null_worlds]) > 0.005


def test_the_yardstick_is_what_such_a_search_shows(null_worlds):
    """The best of 26 shows 1.97 x .6 points though no lever does anything; each further pick what is said of it."""
    for place in range(N_PICKS):
        apart = [found.confirmed[place].first - found.confirmed[place].by_chance for found in null_worlds]
        assert near(apart, 0.0)
    assert np.mean([found.yardstick.best for found in null_worlds]) == pytest.approx(0.0118, rel=0.05)


@pytest.mark.parametrize("n", [400, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("lever_sd", [0.0, 0.01])
def test_the_interval_of_the_mean_shrinkage_holds_what_the_first_runs_owed_to_luck(n, lever_sd):
    held = [
        found.optimism.ci_low
        <= np.mean([one.first for one in found.confirmed]) - worth.mean()
        <= found.optimism.ci_high
        for found, worth in drawn_worlds(n, lever_sd=lever_sd, seed=2)
    ]
    assert abs(np.mean(held) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / n)


SIZES = (150, 80, 50)
"""Images of each class in val and in test."""


def drawn_study(rng):
    """A search of 16 points that do nothing, and its three picks with four fresh seeds, all on drawn images."""
    label = np.repeat(np.arange(len(SIZES)), SIZES)
    val, test = (rng.normal(0, 1.5, (len(label), len(SIZES))) for _ in range(2))

    def run(images, of_seed):
        own = rng.normal(0, 0.6, images.shape)
        return outcome(label, softmax(images + of_seed + own + 1.2 * np.eye(len(SIZES))[label]))

    of_first, of_second = rng.normal(0, 0.1, len(SIZES)), rng.normal(0, 0.1, (4, len(SIZES)))
    scored = [scores(run(val, of_first))[METRIC] for _ in range(17)]
    first = first_stage(scored, picks=(1 + np.argsort(scored[1:])[::-1][:3]).tolist())
    arms = ["baseline", *(pick.arm for pick in first.picks)]
    study = Study(
        question=Question(name="null", sentence="", baseline="baseline", arms={arm: {} for arm in arms}),
        classes=("a", "b", "c"),
        sample_id=np.array([f"image{j:04d}" for j in range(len(label))]),
        group_id=np.array([f"image{j:04d}" for j in range(len(label))]),
        label=label,
        arms=tuple(
            Arm(
                name=arm,
                levers={},
                runs=tuple(Run(seed=seed, outcome=run(test, of_seed)) for seed, of_seed in enumerate(of_second)),
            )
            for arm in arms
        ),
    )
    judged = {c.arm: c for c in compare(study, n_resamples=100, quick=True).comparisons}
    fresh = {arm: [scores(run(val, of_seed))[METRIC] for of_seed in of_second] for arm in arms}
    return shrinkage(first, second_stage(fresh, test=judged))


@pytest.mark.parametrize("n", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_of_drawn_images_the_gain_of_a_search_for_nothing_is_the_yardsticks_and_shrinks_to_nought(n):
    rng = np.random.default_rng(4)
    picks = [found.confirmed for found in (drawn_study(rng) for _ in range(n))]
    means = {
        name: np.array([np.mean([getattr(one, name) for one in of_world]) for of_world in picks])
        for name in ("first", "fresh", "test", "by_chance")
    }
    assert near(means["fresh"], 0.0)
    assert near(means["test"], 0.0)
    assert near(means["first"] - means["by_chance"], 0.0)
    assert means["first"].mean() > 0.01


def print_figures(n=10_000):
    """What docs/statistics.md says of drawn searches: `python -m tests.analysis.test_shrinkage`."""
    titles = ("true sd, pt", "first, pt", "fresh, pt", "truth, pt", "by chance, pt", "interval holds", "width, pt")
    sys.stdout.write(f"| {' | '.join(titles)} |\n")
    for lever_sd in (0.0, 0.003, 0.006, 0.012):
        worlds = drawn_worlds(n, lever_sd=lever_sd, seed=3)
        mean = {
            name: 100 * np.mean([[getattr(one, name) for one in found.confirmed] for found, _ in worlds])
            for name in ("first", "fresh", "by_chance")
        }
        truth = 100 * np.mean([worth for _, worth in worlds])
        luck = [np.mean([one.first for one in found.confirmed]) - worth.mean() for found, worth in worlds]
        ends = [(found.optimism.ci_low, found.optimism.ci_high) for found, _ in worlds]
        held = np.mean([low <= of_luck <= high for of_luck, (low, high) in zip(luck, ends, strict=True)])
        width = 100 * np.mean([high - low for low, high in ends])
        cells = (f"{value:.2f}" for value in (mean["first"], mean["fresh"], truth, mean["by_chance"]))
        sys.stdout.write(f"| {100 * lever_sd:.1f} | {' | '.join(cells)} | {held:.3f} | {width:.2f} |\n")


if __name__ == "__main__":
    print_figures()
