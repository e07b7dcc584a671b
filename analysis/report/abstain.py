"""Answer, show three, or abstain: what the frozen thresholds came to on test, in sentences, figures and tables."""

from collections.abc import Sequence

from analysis.findings.abstain import Abstain, ArmTiers, ClassTiers, OverSeeds, Tier
from analysis.findings.held import Held
from analysis.records import Report
from analysis.report.coverage import coverage_curves, tier_bars
from analysis.report.foremost import noted, shown
from analysis.report.section import Column, Section, Table
from analysis.words import count, higher_is_better, listed, population, unit_of

_POINTS = unit_of("top1")
_ENOUGH = 10
"""Answered images of a class, mean over seeds, that its error is told of."""


def abstain_section(report: Report) -> Section | None:
    """The three tiers of every arm; None where there is no val to choose thresholds on."""
    tiers = report.abstain
    if tiers is None:
        return None
    told = _told(report, tiers)
    return Section(
        key="abstain",
        title="Answer, show three, or abstain",
        said=tuple(
            filter(
                None,
                (
                    *(_tiers(arm, tiers) for arm in told),
                    _held(told[0], tiers),
                    _worst_classes(told[0], tiers),
                    *_moved(tiers),
                ),
            )
        ),
        figures=(coverage_curves(tiers, told), tier_bars(shown(tiers.arms, report))),
        tables=(_by_arm(tiers), *([_by_delta(tiers)] if tiers.answered else []), *(_by_class(arm) for arm in told)),
        note=noted(_note(report, tiers), report),
    )


def _told(report: Report, tiers: Abstain) -> list[ArmTiers]:
    """The baseline, and the arm of the largest gain among those that are kept, or among all."""
    kept = [c for c in report.comparisons if c.verdict == "keep"] or report.comparisons
    sign = 1 if higher_is_better(report.metric) else -1
    best = max(kept, key=lambda c: sign * c.delta).arm if kept else None
    return [tiers.arms[0], *(arm for arm in tiers.arms if arm.arm == best)]


def _tiers(arm: ArmTiers, tiers: Abstain) -> str:
    """What one arm answers, shows and leaves to a person."""
    if arm.answer.risk is None and arm.top3.risk is None:
        return (
            f"{arm.arm} abstains on every image: on val no threshold of any run bears a stated error of "
            f"{_percent(tiers.answer_risk)}, or {_percent(tiers.top3_risk)} with three classes shown."
        )
    return (
        f"{arm.arm} answers {_tier(arm.answer, 'wrong in', tiers.answer_risk, arm)}, shows three classes for "
        f"{_tier(arm.top3, 'the true one missing in', tiers.top3_risk, arm)}, and abstains on "
        f"{_percent(arm.abstained)}."
    )


def _tier(tier: Tier, fails: str, stated: float, arm: ArmTiers) -> str:
    """`63.8% of the images, wrong in 14.7% (stated: 10%; 0 of 10 runs keep to it)`."""
    if tier.risk is None:
        return f"no image (no run's val bears a threshold at a stated {_percent(stated)})"
    some = "" if tier.n_runs == len(arm.runs) else f" (in {tier.n_runs} of {count(len(arm.runs), 'run')})"
    keep = "keeps" if tier.n_within == 1 else "keep"
    kept = f"stated: {_percent(stated)}; {tier.n_within} of {count(tier.n_runs, 'run')} {keep} to it"
    return f"{_percent(tier.share.mean)} of the images{some}, {fails} {_percent(tier.risk.mean)} ({kept})"


def _held(arm: ArmTiers, tiers: Abstain) -> str:
    """That the bound did not hold on test, where it did not."""
    if arm.answer.risk is None or arm.answer.risk.mean <= tiers.answer_risk:
        return ""
    return (
        f"The bound did not hold on test: {arm.arm} is right on {_percent(arm.val_accuracy)} of val and on "
        f"{_percent(arm.test_accuracy)} of test, and a bound speaks for images like those that it was made on."
    )


def _worst_classes(arm: ArmTiers, tiers: Abstain) -> str:
    """The classes whose answers break the stated error most: a bound over all images is none for a class."""
    broken = [
        (c.error, c)
        for c in arm.classes
        if c.error is not None and c.error > tiers.answer_risk and c.answered * c.n_images >= _ENOUGH
    ]
    if not broken:
        return ""
    worst = sorted(broken, key=lambda found: -found[0])[:3]
    said = [f"{_percent(error)} of {c.name} ({_percent(c.answered)} of them answered)" for error, c in worst]
    return (
        f"The error is one over all images, not of a class: of what {arm.arm} answers it gets wrong {listed(said)}."
    )


def _moved(tiers: Abstain) -> tuple[str, str]:
    """What arms change of the share answered and of the AURC, as far as the intervals tell."""
    return (
        _changes(tiers.answered, "the share that is answered"),
        _changes(tiers.aurc, "the area under the risk-coverage curve (less is better)"),
    )


def _changes(family: Sequence[Held], what: str) -> str:
    if not any(held.delta for held in family):
        return ""
    real = sorted((held for held in family if held.real), key=lambda held: -abs(held.delta))
    if not real:
        return f"No arm moves {what} as far as one can tell."
    said = [f"{held.arm} {_POINTS.said(held.delta)} ({_interval(held)})" for held in real[:3]]
    more = f" and {count(len(real) - 3, 'other arm')} less" if len(real) > 3 else ""
    return f"What arms do to {what}: {'; '.join(said)}{more}."


def _by_arm(tiers: Abstain) -> Table:
    titles = (
        "answered, %", "wrong, %", "runs within", "three shown, %", "missing, %", "runs within", "abstained, %",
        "AURC, pt",
    )  # fmt: skip
    return Table(
        name="Three tiers of every arm",
        columns=_columns("arm", titles),
        rows=tuple(
            (arm.arm, *_cells(arm.answer), *_cells(arm.top3), _POINTS.score(arm.abstained), _spread(arm.aurc))
            for arm in tiers.arms
        ),
    )


def _by_delta(tiers: Abstain) -> Table:
    """What every other arm changes, each quantity a family of its own."""
    families = {"answered": tiers.answered, "wrong": tiers.error, "AURC": tiers.aurc}
    by_arm = [{held.arm: held for held in family} for family in families.values()]
    titles = [title for name in families for title in (f"delta {name}, pt", "its interval")]
    return Table(
        name="What arms change, against the baseline",
        columns=_columns("arm", titles),
        rows=tuple(
            (arm.arm, *(cell for family in by_arm for cell in _delta(family.get(arm.arm))))
            for arm in tiers.arms[1:]
        ),
        folded=True,
    )


def _columns(first: str, numbers: Sequence[str]) -> tuple[Column, ...]:
    return (Column(title=first), *(Column(title=title, number=True) for title in numbers))


def _cells(tier: Tier) -> tuple[str, str, str]:
    if tier.risk is None:
        return _spread(tier.share), "–", "–"
    return _spread(tier.share), _spread(tier.risk), f"{tier.n_within} of {tier.n_runs}"


def _delta(held: Held | None) -> tuple[str, str]:
    if held is None:
        return "–", "–"
    return _POINTS.delta(held.delta), _interval(held)


def _interval(held: Held) -> str:
    return _POINTS.interval(held.ci_low_simultaneous, held.ci_high_simultaneous)


def _by_class(arm: ArmTiers) -> Table:
    titles = ("images", "answered, %", "accuracy, %", "three shown, %", "among the three, %", "abstained, %")
    return Table(
        name=f"Three tiers of every class: {arm.arm}",
        columns=_columns("class", titles),
        rows=tuple(map(_class_row, arm.classes)),
        folded=True,
    )


def _class_row(of: ClassTiers) -> tuple[str, ...]:
    return (
        of.name,
        f"{of.n_images:,}",
        _POINTS.score(of.answered),
        "–" if of.error is None else _POINTS.score(1 - of.error),
        _POINTS.score(of.shown),
        "–" if of.miss is None else _POINTS.score(1 - of.miss),
        _POINTS.score(of.abstained),
    )


def _note(report: Report, tiers: Abstain) -> str:
    groups = f" of {count(tiers.n_val_groups, 'group')}" if tiers.n_val_groups < tiers.n_val_images else ""
    val = f"{count(tiers.n_val_images, 'image')}{groups}"
    return (
        f"Each run's thresholds are the lowest that keep the stated risks on val ({val}) at "
        f"{100 * tiers.level:g}% confidence; test only shows what came of them, and varies around what is bounded. "
        "± is the standard deviation over seeds. Intervals of deltas hold for all arms at once and speak for "
        f"{population(report.estimand)}, thresholds chosen on this val."
    )


def _spread(values: OverSeeds) -> str:
    sd = "" if values.sd is None else f" ± {_POINTS.score(values.sd)}"
    return f"{_POINTS.score(values.mean)}{sd}"


def _percent(share: float) -> str:
    """`63.8%`, `10%`."""
    return f"{100 * share:.1f}".removesuffix(".0") + "%"
