import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from analysis.report import print_report
from analysis.words import unit_of

WIDTHS = (80, 100, 140)


def printed(report, width, **how):
    out = io.StringIO()
    print_report(report, Console(file=out, width=width, **how))
    return out.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["report", "wide", "awkward", "alone"])
def test_no_line_is_longer_than_the_terminal(name, width, request):
    lines = printed(request.getfixturevalue(name), width).splitlines()
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_every_arm_has_its_numbers_and_verdict_in_one_row(report, width):
    lines = printed(report, width).splitlines()
    for arm, *cells in (
        ("baseline ", "66.33", "baseline"),
        ("focal_gamma=2 ", "68.01", "+1.68", "<0.001", "✓ keep"),
        ("label_smoothing=0.1 ", "66.38", "+0.05", "0.933", "✗ reject"),
    ):
        assert any(line.startswith(arm) and all(cell in line for cell in cells) for line in lines)
    assert sum("? inconclusive" in line for line in lines) == 2


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["report", "wide", "awkward"])
def test_no_comparison_loses_its_name_delta_or_verdict_to_the_width(name, width, request):
    report = request.getfixturevalue(name)
    lines = printed(report, width).splitlines()
    rows = [line for line in lines if re.search("[✓✗?] (keep|reject|inconclusive)", line)]
    for row, comparison in zip(rows, report.comparisons, strict=True):
        assert row.startswith(comparison.arm.partition("+")[0][:20])
        assert unit_of(report.metric).delta(comparison.delta) in row
        assert comparison.verdict in row


def test_intervals_are_drawn_where_there_is_room(report):
    assert "●" not in printed(report, 80)
    assert printed(report, 140).count("●") == len(report.comparisons)


def test_a_wide_interval_takes_its_room_from_the_strip_and_not_from_the_names(report):
    unsure, *others = report.comparisons
    wide = replace(unsure, ci_low_simultaneous=-0.9876, ci_high_simultaneous=0.9876)
    for width in range(80, 120):
        text = printed(replace(report, comparisons=(wide, *others)), width)
        assert "\nfocal_gamma=1 " in text
        assert " −98.76 to +98.76 " in text


def test_without_a_terminal_there_is_no_colour(report):
    assert "\x1b" not in printed(report, 100)
    assert "\x1b[1;32m✓ keep" in printed(report, 100, force_terminal=True, color_system="standard")


def test_an_arm_alone_has_no_empty_column(alone):
    text = printed(alone, 80)
    assert "baseline alone: balanced accuracy 66.33 over 5 seeds" in text
    assert "95% interval\n" not in text
    assert "delta" not in text
    assert "adj." not in text


def test_names_are_never_read_as_markup(awkward):
    assert "✓ [red]a|b[/]: +0.7 pt" in printed(awkward, 100)


def test_a_note_that_all_arms_share_is_said_once(report):
    text = printed(report, 140)
    assert text.count("images of one lesion are resampled together") == 1
    assert "· all arms: images" in text


def test_a_note_on_one_arm_names_it(report):
    first, *others = report.comparisons
    noted = replace(report, comparisons=(replace(first, notes=("seeds differ",)), *others))
    assert f"· {first.arm}: seeds differ" in printed(noted, 140)


def test_it_closes_with_what_to_do(report, alone):
    said = " ".join(printed(report, 100).split())
    assert "What to do · Ship focal_gamma=2: +1.7 pt" in said
    assert "· Drop label_smoothing=0.1 and focal_gamma=3+label_smoothing=0.1" in said
    assert "What to do" not in printed(alone, 100)
