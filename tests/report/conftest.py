"""A report as eight arms with five seeds would give it, every verdict in it once."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.records import ArmSummary, ClassScore, Comparison, GuardResult, Noise, Report, Sources
from analysis.report import figures_of, render_html

CLASSES = ("melanocytic nevus", "melanoma", "benign keratosis", "basal cell carcinoma", "dermatofibroma")
SIZES = (1006, 167, 165, 77, 17)
MARGIN = 0.006

# levers, delta, half-width of the interval alone, verdict, label, reason, seeds needed
CASES = (
    ((1.0, 0.0), 0.0071, 0.0041, "keep", "", "+0.7 pt, and the interval lies above 0.", None),
    ((2.0, 0.0), 0.0168, 0.0060, "keep", "practical", "+1.7 pt, and all of the interval exceeds 0.6 pt.", None),
    ((3.0, 0.0), 0.0123, 0.0072, "keep", "at a cost", "+1.2 pt, but top-1 falls by 1.4 pt.", None),
    ((0.0, 0.1), 0.0005, 0.0031, "reject", "equivalent", "+0.1 pt: within 0.6 pt either way.", None),
    ((1.0, 0.1), 0.0047, 0.0069, "inconclusive", "", "+0.5 pt: 12 seeds an arm would decide it.", 12),
    ((2.0, 0.1), 0.0029, 0.0109, "inconclusive", "", "+0.3 pt: more seeds cannot decide it.", None),
    ((3.0, 0.1), -0.0146, 0.0075, "reject", "worse", "−1.5 pt, and the interval lies below 0.", None),
)
SEEDS = (0, 1, 2, 3, 4)
SOURCES = tuple(
    Sources(seeds=seeds / 100, images=images / 100, residual=(100 - seeds - images) / 100)
    for seeds, images in ((20, 50), (30, 45), (10, 60), (60, 15), (35, 33), (0, 85), (25, 25))
)
"""Of each delta's variance."""


@pytest.fixture(scope="session")
def report():
    rng = np.random.default_rng(0)
    baseline = _arm("baseline", (0.0, 0.0), 0.6633, rng)
    arms = [_arm(_name(case[0]), case[0], baseline.mean + case[1], rng) for case in CASES]
    return Report(
        name="focal_ls",
        question="Does focal loss lift the long tail, and does label smoothing compose with it?",
        metric="balanced_accuracy",
        margin=MARGIN,
        estimand="both",
        baseline="baseline",
        n_images=sum(SIZES),
        n_groups=1250,
        class_names=CLASSES,
        run_sd=0.006,
        n_resamples=10_000,
        look=None,
        arms=(baseline, *arms),
        comparisons=tuple(_comparison(case, sources, rng) for case, sources in zip(CASES, SOURCES, strict=True)),
        noise=Noise(
            sd=0.0061,
            df=32,
            ci_low=0.0049,
            ci_high=0.0081,
            alike_p=0.64,
            unlike=(),
            seed_correlation=0.21,
            paired=True,
        ),
        problems=("1 of 40 trials is missing: focal_gamma=3 · seed 4 (diverged: the loss is not finite)",),
        provenance={
            "commit": "0f3c9a1",
            "data_fingerprint": "9d41b6a2c0f1",
            "versions": {"torch": "2.13.0", "ray": "2.60.0"},
            "device": "NVIDIA H100 80GB HBM3",
            "hours": 31.4,
        },
    )


@pytest.fixture(scope="session")
def alone(report):
    """The same baseline, nothing compared with it."""
    return replace(report, arms=report.arms[:1], comparisons=(), problems=())


def _name(levers):
    parts = [f"{name}={value:g}" for name, value in _levers(levers).items() if value]
    return "+".join(parts)


def _levers(values):
    return dict(zip(("focal_gamma", "label_smoothing"), values, strict=True))


def _arm(name, levers, mean, rng):
    noise = rng.normal(0, 0.006, len(SEEDS))
    scores = mean + noise - noise.mean()
    return ArmSummary(
        arm=name,
        levers=_levers(levers),
        seeds=SEEDS,
        mean=mean,
        sd=float(scores.std(ddof=1)),
        seed_scores=tuple(map(float, scores)),
        scores={
            "top1": 0.736,
            "top3": 0.9276,
            "balanced_accuracy": mean,
            "macro_f1": 0.641,
            "ece": 0.052,
            "nll": 0.91,
        },
        classes=tuple(
            ClassScore(name=c, n_images=n, recall=float(rng.uniform(0.4, 0.9)), over_prediction=float(o))
            for c, n, o in zip(CLASSES, SIZES, rng.uniform(0.6, 1.7, len(CLASSES)), strict=True)
        ),
    )


def _comparison(case, sources, rng):
    levers, delta, half, verdict, label, reason, seeds_needed = case
    variance = (half / 2.2) ** 2
    seed_deltas = delta + rng.normal(0, 0.006, len(SEEDS))
    p_value = float(np.clip(np.exp(-((delta / half * 2) ** 2) / 1.5), 1e-4, 1))
    return Comparison(
        arm=_name(levers),
        baseline="baseline",
        metric="balanced_accuracy",
        seeds=SEEDS,
        delta=delta,
        se=half / 2.2,
        df=14.3,
        v_seed=variance * (sources.seeds + sources.residual),
        v_img=variance * (sources.images + sources.residual),
        v_res=variance * sources.residual,
        ci_low=delta - half,
        ci_high=delta + half,
        ci_low_closed=delta - half,
        ci_high_closed=delta + half,
        ci_low_simultaneous=delta - 1.4 * half,
        ci_high_simultaneous=delta + 1.4 * half,
        p_value=p_value,
        p_adjusted=min(1.0, 5 * p_value),
        p_holm=min(1.0, 7 * p_value),
        seed_correlation=0.3 - 20 * delta,
        probability_better=float(stats.norm.cdf(delta / math.sqrt(variance + 2 * 0.0061**2))),
        misled_rate=float((seed_deltas * delta < 0).mean()),
        verdict=verdict,
        label=label,
        reason=reason,
        seeds_needed=seeds_needed,
        seed_deltas=tuple(map(float, seed_deltas)),
        guards=(
            GuardResult(
                metric="top1",
                delta=-0.014 if label == "at a cost" else 0.001,
                ci_low=-0.019 if label == "at a cost" else -0.003,
                ci_high=-0.009 if label == "at a cost" else 0.005,
                margin=MARGIN,
                non_inferior=label != "at a cost",
            ),
        ),
        class_deltas={c: float(d) for c, d in zip(CLASSES, rng.normal(delta, 0.03, len(CLASSES)), strict=True)},
        notes=("images of one lesion are resampled together",),
    )


@pytest.fixture(scope="session")
def wide(report):
    """Eighteen arms of three levers and twenty classes, names as long as they come."""
    rng = np.random.default_rng(1)
    names = [
        f"focal_gamma={gamma}+label_smoothing={smoothing}+sampler_power={power}"
        for gamma in (0, 1, 2)
        for smoothing in (0, 0.1)
        for power in (0, 0.5, 1)
    ][1:]
    classes = tuple(f"{adjective} contact eczema of the {site}" for adjective in _ADJECTIVES for site in _SITES)
    scores = tuple(
        ClassScore(name=c, n_images=5000 >> i, recall=0.5, over_prediction=float(rng.uniform(0, 9)))
        for i, c in enumerate(classes)
    )
    deltas = {c: float(d) for c, d in zip(classes, rng.normal(0, 0.3, len(classes)), strict=True)}
    sources = [report.comparisons[i % len(CASES)] for i in range(len(names))]
    return replace(
        report,
        class_names=classes,
        arms=tuple(
            replace(report.arms[i % 8], arm=name, classes=scores) for i, name in enumerate(["baseline", *names])
        ),
        comparisons=tuple(replace(c, arm=n, class_deltas=deltas) for c, n in zip(sources, names, strict=True)),
    )


_ADJECTIVES = ("allergic", "irritant", "chronic", "acute")
_SITES = ("hand", "foot", "scalp")


@pytest.fixture(scope="session")
def awkward(report):
    """Names of arms and classes that mean something to Markdown, HTML, rich or TeX."""
    arms = {
        "focal_gamma=1": "[red]a|b[/]",
        "focal_gamma=2": "<b>&amp;$x_1$",
        "focal_gamma=3": "x" * 90,
        "label_smoothing=0.1": "`a` ``|`` ~b~ __c__",
    }
    classes = {"melanoma": "<i>mel|anoma</i>", "benign keratosis": "__[bold]~$k_1$~__ `|` \\|"}
    return replace(
        report,
        class_names=tuple(classes.get(name, name) for name in report.class_names),
        arms=tuple(
            replace(
                arm,
                arm=arms.get(arm.arm, arm.arm),
                classes=tuple(replace(score, name=classes.get(score.name, score.name)) for score in arm.classes),
            )
            for arm in report.arms
        ),
        comparisons=tuple(
            replace(
                c,
                arm=arms.get(c.arm, c.arm),
                class_deltas={classes.get(name, name): delta for name, delta in c.class_deltas.items()},
            )
            for c in report.comparisons
        ),
    )


@pytest.fixture(scope="session")
def figures(report):
    """The report's figures by name."""
    return {figure.name: figure for figure in figures_of(report)}


@pytest.fixture(scope="session")
def page(report, figures):
    """The report as its page."""
    return render_html(report, tuple(figures.values()))
