import math

import numpy as np
import pytest
from scipy import stats

from analysis.alternatives import plain_variance, replicate_additively, replicate_plainly
from analysis.influence import Measured, measure, units_of
from analysis.metrics import class_sizes, metric_named, outcome
from analysis.noise import seed_noise
from analysis.resampling import Draws, deviations, linear_image_deviations
from analysis.variance import contrast, t_interval


def hits(right):
    """Outcomes whose top-1 hits are `right` [R, N] for labels of two classes: wrong means the other class."""

    def one(label, row):
        predicted = np.where(row, label, (label + 1) % (label.max() + 1))
        return outcome(label, 0.9 * np.eye(label.max() + 1)[predicted] + 0.1 / (label.max() + 1))

    return lambda label: [one(label, row) for row in right]


def measured(name, label, right, *, arm="arm", groups=None, seeds=None):
    n_classes = int(label.max()) + 1
    outcomes = hits(right)(label)
    groups = np.arange(len(label)).astype(str) if groups is None else np.asarray(groups).astype(str)
    units = units_of(label, groups, n_classes)
    metric = metric_named(name, classes=[str(k) for k in range(n_classes)], sizes=class_sizes(outcomes[0]))
    seeds = range(len(right)) if seeds is None else seeds
    return measure(metric, arm, list(zip(seeds, outcomes, strict=True)), units), units


def drawn(rng_seed=0, sizes=(9, 5, 4), n_seeds=4, gain=0.15):
    """Labels, and hits of an arm and its baseline, [R, N], with easy and hard images and better and worse seeds."""
    rng = np.random.default_rng(rng_seed)
    label = np.repeat(np.arange(len(sizes)), sizes)
    ease = rng.normal(0.3, 1, len(label)) + rng.normal(0, 0.4, (n_seeds, 1))
    arm = rng.normal(ease + gain, 0.6) > 0
    return label, arm, rng.normal(ease, 0.6) > 0


def delta(arm, baseline, units, run_sd=0.006):
    """The arm minus the baseline, no other arm beside them."""
    noise = seed_noise([baseline, arm], run_sd=run_sd)
    return contrast(arm.arm, {arm.arm: 1.0, baseline.arm: -1.0}, noise, units)


def by_hand(label, arm, baseline):
    """The closed form of two arms, loop by loop: V_seed, V_img, V_res, V, and df with V_seed median-unbiased."""
    d = arm.astype(float) - baseline.astype(float)
    n_seeds, k = len(d), int(label.max()) + 1
    of_class = [np.flatnonzero(label == c) for c in range(k)]
    per_seed = [sum(d[i, j].mean() for j in of_class) / k for i in range(n_seeds)]
    theta = sum(per_seed) / n_seeds
    own = [
        [sum(float(right[i, j].mean()) for j in of_class) / k for i in range(n_seeds)] for right in (arm, baseline)
    ]
    squares = [sum((x - sum(scores) / n_seeds) ** 2 for x in scores) for scores in own]
    v_seed, df_seed = sum(squares) / (n_seeds - 1) / n_seeds, 2 * (n_seeds - 1)
    img, res, img_spread = 0.0, 0.0, 0.0
    for j in of_class:
        n = len(j)
        b = [sum(d[i, x] for i in range(n_seeds)) / n_seeds for x in j]
        s2 = sum((x - sum(b) / n) ** 2 for x in b) / (n - 1)
        squares = 0.0
        for i in range(n_seeds):
            for at, x in enumerate(j):
                squares += (d[i, x] - d[i, j].mean() - b[at] + sum(b) / n) ** 2
        mse = squares / ((n_seeds - 1) * (n - 1))
        img += s2 / n / k**2
        res += mse / (n_seeds * n) / k**2
        img_spread += (s2 / (k**2 * n)) ** 2 / (n - 1)
    alone = max(0.0, img - res)
    median = v_seed * df_seed / stats.chi2.ppf(0.5, df_seed)
    df = (median + alone) ** 2 / (median**2 / df_seed + alone**2 * img_spread / img**2)
    return theta, v_seed, img, res, v_seed + alone, df


@pytest.mark.parametrize("rng_seed", [0, 1, 2, 4, 5, 6])  # in set 3 seeds shift both arms alike
def test_the_closed_form_is_the_formula_written_out_by_hand(rng_seed):
    label, right, base = drawn(rng_seed)
    arm, units = measured("balanced_accuracy", label, right)
    c = delta(arm, measured("balanced_accuracy", label, base, arm="baseline")[0], units)
    total = c.total("both")
    ours = (c.delta, c.seed.variance, c.img.variance, c.res.variance, total.variance, total.df)
    assert ours == pytest.approx(by_hand(label, right, base), rel=1e-12)
    assert c.total("seeds").variance == c.seed.variance
    assert c.total("images").variance == c.img.variance


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
def test_two_arms_that_differ_by_chance_alone_have_no_fewer_degrees_of_freedom_than_seeds(n_seeds):
    """V_img - V_res is nought in half of such sets, and V_seed nearly so in some: Satterthwaite gives .01 there."""
    label, rng = np.repeat([0, 1, 2], [300, 60, 20]), np.random.default_rng(3)
    for _ in range(40):
        right, base = (rng.random((n_seeds, len(label))) < 0.7 for _ in range(2))
        arm, units = measured("balanced_accuracy", label, right)
        c = delta(arm, measured("balanced_accuracy", label, base, arm="baseline")[0], units)
        assert n_seeds - 1 <= c.total("both").df
        assert t_interval(c.delta, c.total("both")).high < 1.5


@pytest.mark.parametrize(("n_arm", "n_baseline"), [(5, 20), (20, 5), (4, 4)])
def test_of_one_run_each_the_variance_is_two_of_a_run_however_unlike_many_there_are(n_arm, n_baseline):
    """Independent runs of one variance s^2: V_seed is s^2 (1/R + 1/R'), and 2 s^2 of one run each."""
    label, rng = np.repeat([0, 1], [60, 40]), np.random.default_rng(7)
    right, base = (rng.random((n, len(label))) < 0.7 for n in (n_arm, n_baseline))
    arm, units = measured("top1", label, right, seeds=range(n_arm))
    baseline, _ = measured("top1", label, base, arm="baseline", seeds=range(100, 100 + n_baseline))
    c = delta(arm, baseline, units)
    squares = sum(float(((run.scores - run.scores.mean()) ** 2).sum()) for run in (arm, baseline))
    of_one = squares / (n_arm + n_baseline - 2)
    assert c.seed.variance == pytest.approx(of_one * (1 / n_arm + 1 / n_baseline))
    assert c.seed_of_one == pytest.approx(2 * of_one)
    assert c.forecast(30, "seeds").variance == pytest.approx(2 * of_one / 30)
    assert c.forecast(30, "seeds").df == pytest.approx(c.seed.df / (c.n_effective - 1) * 29)


def test_it_is_the_variance_of_bert_on_hans_from_its_published_margins():
    # 100 seeds x 9,815 items: mean .843393, MS_seed .0575, MS_item 10.1028, MS_res .03138; SE .00321.
    n_seeds, n_items, mean = 100, 9815, 0.843393
    ms_seed, ms_item, ms_res = 0.0575, 10.1028, 0.03138
    total = (n_seeds - 1) * ms_seed + (n_items - 1) * ms_item + (n_seeds - 1) * (n_items - 1) * ms_res
    assert total == pytest.approx(n_seeds * n_items * mean * (1 - mean), rel=1e-3), (
        "0/1 data have this sum of squares"
    )
    # What those mean squares are in our terms: V_seed = MS_seed/(R N) and so on.
    influence, scores = table_with(ms_seed, ms_item, ms_res, n_seeds=40, n_items=50)
    ours = measured_table(scores, influence)
    r, n = influence.shape
    assert ours.seed.variance == pytest.approx(ms_seed / (r * n))
    assert ours.img.variance == pytest.approx(ms_item / (r * n))
    assert ours.res.variance == pytest.approx(ms_res / (r * n))
    published = (ms_seed + ms_item - ms_res) / (n_seeds * n_items)
    assert math.sqrt(published) == pytest.approx(0.00321, abs=5e-6)
    assert ours.total("both").variance * r * n == pytest.approx(published * n_seeds * n_items)


def table_with(ms_seed, ms_item, ms_res, *, n_seeds, n_items):
    """Scores [R] and influence [R, N] of a table with exactly these mean squares."""
    rng = np.random.default_rng(0)

    def scaled(x, squares):
        return x * math.sqrt(squares / (x**2).sum())

    a = rng.normal(size=n_seeds)
    b = rng.normal(size=n_items)
    e = rng.normal(size=(n_seeds, n_items))
    e += e.mean() - e.mean(axis=0) - e.mean(axis=1, keepdims=True)
    a = scaled(a - a.mean(), (n_seeds - 1) * ms_seed / n_items)
    b = scaled(b - b.mean(), (n_items - 1) * ms_item / n_seeds)
    e = scaled(e, (n_seeds - 1) * (n_items - 1) * ms_res)
    return (b + e) / n_items, a


def measured_table(scores, influence):
    n = influence.shape[1]
    units = units_of(np.zeros(n, dtype=np.int64), np.arange(n).astype(str), 1)
    seeds = tuple(range(len(scores)))
    arm = Measured(arm="a", seeds=seeds, scores=scores, influence=influence)
    nought = Measured(arm="b", seeds=seeds, scores=0 * scores, influence=0 * influence)
    return delta(arm, nought, units)


def test_groups_take_the_place_of_images_inside_their_class():
    label, right, base = drawn(sizes=(12, 8))
    groups = [f"{k}-{j // 2}" for j, k in enumerate(label)]
    arm, units = measured("top1", label, right, groups=groups)
    c = delta(arm, measured("top1", label, base, arm="baseline", groups=groups)[0], units)
    b = (right.astype(float) - base).mean(axis=0).reshape(-1, 2).sum(axis=1) / len(label)
    by_class = [b[:6], b[6:]]
    assert c.img.variance == pytest.approx(sum(len(x) * x.var(ddof=1) for x in by_class))
    assert c.img.df < sum(len(x) - 1 for x in by_class) + 1e-9
    assert "images of one group are drawn together" in c.notes


def test_groups_that_span_classes_give_the_delete_one_group_jackknife():
    label, right, base = drawn(sizes=(12, 8))
    groups = np.arange(20) % 7
    arm, units = measured("balanced_accuracy", label, right, groups=groups)
    c = delta(arm, measured("balanced_accuracy", label, base, arm="baseline", groups=groups)[0], units)
    d = (right.astype(float) - base).mean(axis=0)
    without = [np.mean([d[(label == k) & (groups != g)].mean() for k in range(2)]) for g in range(7)]
    assert c.img.variance == pytest.approx(6 / 7 * ((without - np.mean(without)) ** 2).sum())
    assert any("span classes" in note for note in c.notes)


@pytest.mark.parametrize(("sizes", "classes"), [((6, 5, 1), "1 class has"), ((6, 1, 1), "2 classes have")])
def test_a_class_of_one_image_is_never_taken_as_certain(sizes, classes):
    label, right, base = drawn(sizes=sizes)
    right[:, label == 2], base[:, label == 2] = True, False
    arm, units = measured("balanced_accuracy", label, right)
    c = delta(arm, measured("balanced_accuracy", label, base, arm="baseline")[0], units)
    known = sum((right.astype(float) - base).mean(axis=0)[label == k].var() for k in (0, 1)) / 9 / 5
    assert c.img.variance > known
    assert any(note.startswith(classes) for note in c.notes)


def test_identical_predictions_differ_by_exactly_nothing():
    label, right, _ = drawn()
    arm, units = measured("balanced_accuracy", label, right)
    c = delta(arm, measured("balanced_accuracy", label, right, arm="baseline")[0], units)
    assert (c.delta, c.total("both").variance) == (0.0, 0.0)
    assert t_interval(c.delta, c.total("both")).high == 0.0
    assert c.notes == ("no discordant images",)


def test_a_single_run_rests_on_the_assumed_noise_and_says_so():
    label, right, base = drawn(n_seeds=1)
    arm, units = measured("balanced_accuracy", label, right)
    c = delta(arm, measured("balanced_accuracy", label, base, arm="baseline")[0], units)
    assert c.seed.variance == pytest.approx(2 * 0.006**2)
    assert math.isinf(c.seed.df)
    assert "one run each: a run-to-run standard deviation of 0.006 is assumed" in c.notes[0]


def test_unequal_seeds_are_compared_unpaired_with_one_variance():
    label, right, base = drawn(n_seeds=5)
    arm, units = measured("balanced_accuracy", label, right[:3])
    whole = measured("balanced_accuracy", label, base, arm="baseline")[0]
    c = delta(arm, whole, units)
    pooled = (2 * arm.scores.var(ddof=1) + 4 * whole.scores.var(ddof=1)) / 6
    assert c.seed.variance == pytest.approx(pooled * (1 / 3 + 1 / 5))
    assert c.seed.df == 6
    assert any("seeds differ" in note for note in c.notes)


@pytest.mark.parametrize("estimand", ["both", "seeds", "images"])
@pytest.mark.parametrize("metric", ["balanced_accuracy", "top1"])
def test_the_bootstrap_has_the_variance_of_the_closed_form(metric, estimand):
    label, right, base = drawn(3, sizes=(30, 12, 6), n_seeds=4)
    arm, units = measured(metric, label, right)
    baseline = measured(metric, label, base, arm="baseline")[0]
    c, draws = delta(arm, baseline, units), Draws(n_resamples=200_000, seed=1)
    rows = np.stack([m.influence.mean(axis=0) for m in (arm, baseline)])
    of_images = dict(zip(("arm", "baseline"), linear_image_deviations(rows, units, draws), strict=True))
    moved = deviations([c], of_images, draws, estimand=estimand)
    assert moved.var() == pytest.approx(c.total(estimand).variance, rel=0.01)
    assert moved.mean() == pytest.approx(0, abs=4 * math.sqrt(c.total(estimand).variance / 200_000))


def differences_of(arm, baseline):
    return Measured(
        arm="d", seeds=arm.seeds, scores=arm.scores - baseline.scores, influence=arm.influence - baseline.influence
    )


def test_the_bootstrap_that_draws_from_the_seeds_too_has_that_variance():
    label, right, base = drawn(3, sizes=(30, 12, 6), n_seeds=4)
    arm, units = measured("balanced_accuracy", label, right)
    baseline = measured("balanced_accuracy", label, base, arm="baseline")[0]
    c = delta(arm, baseline, units)
    replicates = replicate_additively(c, differences_of(arm, baseline), units, Draws(n_resamples=200_000, seed=1))
    paired = differences_of(arm, baseline).scores.var(ddof=1) / 4
    assert replicates.var() == pytest.approx(paired + c.img_alone, rel=0.01)


def test_the_plain_multi_bootstrap_has_the_variance_that_owen_gives():
    label, right, base = drawn(3, sizes=(30, 12, 6), n_seeds=4)
    arm, units = measured("balanced_accuracy", label, right)
    differences = differences_of(arm, measured("balanced_accuracy", label, base)[0])
    replicates = replicate_plainly(differences, units, Draws(n_resamples=200_000, seed=1))
    assert replicates.var() == pytest.approx(plain_variance(differences), rel=0.015)
