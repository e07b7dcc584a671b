"""The summary table: the story's own layout in the terminal and in Markdown."""

import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from analysis.findings.held import Held
from analysis.findings.posthoc import Change, TreatedArm
from analysis.findings.tail import ClassMoves
from analysis.report import print_summary, render_markdown
from analysis.report.summary import summary_of
from tests.report.test_markdown import tables


def printed(report, width, **how):
    out = io.StringIO()
    print_summary(report, Console(file=out, width=width, **how))
    return out.getvalue()


def change(metric, before, after):
    return Change(metric=metric, before=before, after=after, delta=after - before, ci_low=0.0, ci_high=0.01)


def treated(name, verdict, label="", arm="baseline"):
    return TreatedArm(
        name=f"{arm}{name}", arm=arm, treatment=name[1:], seeds=(0, 1), verdict=verdict, label=label, reason="",
        primary=change("balanced_accuracy", 0.6633, 0.6833), se=0.004, ci_low_simultaneous=0.012,
        ci_high_simultaneous=0.028, p_adjusted=0.001, own_noise=False, guards=(change("top1", 0.736, 0.731),),
        top3=change("top3", 0.9276, 0.9301), ece=change("ece", 0.05, 0.04), nll_before=0.9, nll_after=0.8,
        fitted=None, forward_passes=2, seed_deltas=(),
    )  # fmt: skip


@pytest.fixture
def after(report):
    """With treatments of the baseline's checkpoints, and of another arm's, which have no row."""
    rows = (
        treated("+hflip", "keep"),
        treated("+temperature", None),
        treated("+hflip", "keep", arm="focal_gamma=1"),
    )
    return replace(report, posthoc=rows)


@pytest.fixture
def scores_alone(report):
    """No images, and so no classes; top-3 was not written down."""
    return replace(
        report,
        n_images=0,
        class_names=(),
        arms=tuple(replace(arm, classes=(), scores={"top1": 0.736}) for arm in report.arms),
        comparisons=tuple(replace(c, class_deltas={}) for c in report.comparisons),
    )


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("name", ["report", "wide", "awkward", "alone", "after", "scores_alone"])
def test_no_line_is_longer_than_the_terminal(name, width, request):
    lines = printed(request.getfixturevalue(name), width).splitlines()
    assert max(map(cell_len, lines)) <= width


def test_eight_arms_have_a_row_each_in_a_hundred_columns(report):
    lines = printed(report, 100).splitlines()
    head = next(line for line in lines if line.startswith("config"))
    assert head.split("  ")[0] == "config"
    assert re.sub(" {2,}", " | ", head.strip()) == "config | top-1 | top-3 | balanced acc | delta, pt | verdict"
    for cells in (
        ("baseline", "73.60", "92.76", "66.33", "baseline"),
        ("focal_gamma=2", "68.01", "+1.68", "+0.84 to +2.52", "✓ keep, practical"),
        ("focal_gamma=1", "67.04", "+0.71", "✓ keep"),
    ):
        assert any(line.startswith(cells[0]) and all(cell in line for cell in cells) for line in lines)
    assert sum("? inconclusive" in line for line in lines) == 2


def test_in_eighty_columns_names_and_intervals_go_below_and_nothing_is_lost(report):
    text = printed(report, 80)
    for c in report.comparisons:
        assert f"{100 * c.delta:+.2f}".replace("-", "−") in text
        assert f"{100 * c.ci_low_simultaneous:+.2f} to ".replace("-", "−") in text
    assert re.search(r"^\+label_smoothing=0.1 +\S", text, re.MULTILINE)


def test_the_classes_that_lose_most_come_before_those_that_gain_most(report):
    moved = {"eczema": -0.481, "acne": -0.02, "tinea": -0.1, "herpes": 0.001, "rosacea": 0.123, "naevus": 0.05}
    first, *others = report.comparisons
    told = summary_of(replace(report, comparisons=(replace(first, class_deltas=moved), *others))).highlights
    assert told[0].moves == ("eczema −48.1", "tinea −10.0", "rosacea +12.3", "naevus +5.0")


def test_only_decided_arms_are_told_of_unless_a_class_moves_beyond_chance(report):
    decided = [c.arm for c in report.comparisons if c.verdict != "inconclusive"]
    assert [one.arm for one in summary_of(report).highlights] == decided
    undecided = next(c for c in report.comparisons if c.verdict == "inconclusive")
    name = min(undecided.class_deltas, key=undecided.class_deltas.get)

    def moves(low, high):
        held = Held(
            arm=undecided.arm, delta=-0.1, ci_low=low, ci_high=high, ci_low_simultaneous=low,
            ci_high_simultaneous=high,
        )  # fmt: skip
        return replace(
            report, tail=TailOf((ClassMoves(name=name, n_images=9, recall=(held,), over_prediction=()),))
        )

    sure, unsure = summary_of(moves(-0.2, -0.05)), summary_of(moves(-0.2, 0.05))
    assert [one.arm for one in unsure.highlights] == decided
    (told,) = [one for one in sure.highlights if one.arm == undecided.arm]
    assert told.moves[0].startswith(f"{name} −")
    assert told.moves[0].endswith("*")
    assert "* its interval" in " ".join(sure.notes)
    assert "none of these moves is shown to be more than chance" in " ".join(unsure.notes)


class TailOf:
    """Of the long tail what a summary reads."""

    def __init__(self, classes):
        self.classes = classes


def test_the_baselines_checkpoints_after_training_stand_below_the_arms(after):
    lines = printed(after, 100).splitlines()
    (flipped,) = [line for line in lines if line.startswith("+hflip")]
    assert flipped.split() == ["+hflip", "73.10", "93.01", "68.33", "+2.00", "+1.20", "to", "+2.80", "✓", "keep"]
    assert any(line.startswith("+temperature") and line.rstrip().endswith("as before") for line in lines)
    assert "against themselves as trained" in " ".join(" ".join(lines).split())


def test_scores_alone_have_the_columns_that_they_know_and_no_classes(scores_alone):
    summary = summary_of(scores_alone)
    assert summary.columns == ("top-1", "balanced acc")
    assert summary.highlights == ()
    assert "Classes" not in printed(scores_alone, 100)


def test_a_metric_of_its_own_has_a_column_of_its_own(report):
    summary = summary_of(replace(report, metric="recall:melanoma"))
    assert summary.columns[-1] == "recall of melanoma"
    assert summary.rows[0].scores[-1] == "66.33"


def test_an_arm_alone_has_its_scores_and_no_empty_column(alone):
    text = printed(alone, 80)
    assert "delta" not in text
    assert "verdict" not in text
    assert re.search(r"^baseline +73\.60 +92\.76 +66\.33 *$", text, re.MULTILINE)


def test_markdown_has_the_same_table_before_the_verdicts(after):
    text = render_markdown(after)
    assert text.index("## Summary") < text.index("## Verdicts")
    head, baseline, *_, flipped, tempered = tables(text)[0]
    assert head == ["config", "top-1", "top-3", "balanced acc", "delta, pt", "95% interval", "verdict"]
    assert baseline == ["baseline", "73.60", "92.76", "66.33", "", "", "baseline"]
    assert flipped == ["+hflip", "73.10", "93.01", "68.33", "+2.00", "+1.20 to +2.80", "✓ keep"]
    assert tempered[4:] == ["+2.00", "", "as before"]


def test_names_are_never_read_as_markup(awkward):
    assert "[red]a|b[/]" in printed(awkward, 140)
