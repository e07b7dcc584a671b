import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from analysis.report import figures_of

SVG = "{http://www.w3.org/2000/svg}"
NUMBER = r"([\d.]+)"
THIN = rf'd="M {NUMBER} {NUMBER} \nL {NUMBER} \2 \n" clip-path="[^"]*" style="[^"]*stroke-width: 1\.1;'
RING = rf'<use xlink:href="#\w+" x="{NUMBER}" y="{NUMBER}" style="fill-opacity: 0;'
TICK = rf'text-anchor: middle;[^"]*" x="{NUMBER}"[^>]*>([−\d.]+)<'


def drawn(report):
    return {figure.name: figure for figure in figures_of(report)}


BAR = rf'd="M {NUMBER} {NUMBER} \nL {NUMBER} \2 \nL \3 {NUMBER} \nL \1 \4 \nz\n" clip-path='


def words(figure):
    return ["".join(text.itertext()) for text in ElementTree.fromstring(figure.svg).iter(f"{SVG}text")]


def read_off(figure, places):
    """What the figure's own axis says of places across it."""
    ticks = [(float(x), float(label.replace("−", "-"))) for x, label in re.findall(TICK, figure.svg)]
    slope, start = np.polyfit(*zip(*ticks, strict=True), 1)
    return [start + slope * float(place) for place in places]


@pytest.mark.parametrize("name", ["report", "wide", "awkward", "alone"])
def test_every_figure_is_well_formed_and_has_its_words(name, request):
    for figure in figures_of(request.getfixturevalue(name)):
        root = ElementTree.fromstring(figure.svg)
        assert root.tag == f"{SVG}svg"
        assert (root[0].tag, root[0].text) == (f"{SVG}title", figure.alt)
        assert figure.title.endswith("?")
        assert figure.caption.endswith(".")


def test_the_same_report_gives_the_same_bytes(report, figures):
    assert drawn(report) == figures


def test_an_arm_alone_shows_its_runs_and_its_classes(alone):
    assert list(drawn(alone)) == ["seeds", "over-prediction"]


def test_the_verdicts_intervals_stand_where_the_axis_says(report, figures):
    figure = figures["forest"]
    thin = re.findall(THIN, figure.svg)
    lows, highs = (
        [100 * getattr(c, f"ci_{end}_simultaneous") for c in report.comparisons] for end in ("low", "high")
    )
    assert read_off(figure, [low for low, _, _ in thin]) == pytest.approx(lows, abs=1e-3)
    assert read_off(figure, [high for _, _, high in thin]) == pytest.approx(highs, abs=1e-3)


def test_the_forest_says_deltas_and_verdicts_in_print(figures):
    said = words(figures["forest"])
    assert {"+0.71", "+1.68", "+1.23", "+0.05", "+0.47", "+0.29", "−1.46"} <= set(said)
    assert said.count("? inconclusive") == 2
    assert "✓ keep, at a cost" in said


def test_every_run_has_its_ring_where_the_axis_says(report, figures):
    figure = figures["seeds"]
    rings = [x for x, _ in re.findall(RING, figure.svg)]
    scores = [100 * score for arm in report.arms for score in arm.seed_scores]
    assert read_off(figure, rings) == pytest.approx(scores, abs=1e-3)


def test_classes_run_from_the_most_images_to_the_fewest(report, figures):
    rows = [word for word in words(figures["class-recall"]) if word.startswith(report.class_names)]
    assert [int(row.split()[-1].replace(",", "")) for row in rows] == [1006, 167, 165, 77, 17]


def test_the_worth_of_one_image_of_the_rarest_class_is_said(figures):
    caption = figures["class-recall"].caption
    assert "One image of dermatofibroma (n = 17) is worth 5.9 points in one run." in caption


def test_an_arm_that_never_predicts_a_class_is_drawn(wide):
    silent = tuple(replace(score, over_prediction=0.0) for score in wide.arms[0].classes)
    report = replace(wide, arms=(replace(wide.arms[0], classes=silent), *wide.arms[1:]))
    assert words(drawn(report)["over-prediction"]).count("0.00") >= len(wide.class_names)


def test_parts_of_a_bar_end_where_the_axis_has_the_standard_error_that_they_leave(report, figures):
    """The scale is the variance's, its labels are standard errors: squares of the labels lie evenly."""
    figure = figures["variance"]
    ticks = [(float(x), float(label) ** 2) for x, label in re.findall(TICK, figure.svg) if not label.endswith("%")]
    slope, start = np.polyfit(*zip(*ticks, strict=True), 1)
    ends = np.array([float(right) for _, _, right, _ in re.findall(BAR, figure.svg)]).reshape(-1, 3)
    left, left_and_middle, whole = np.sqrt(start + slope * ends).T
    errors, sources = np.array([100 * c.se for c in report.comparisons]), [c.sources for c in report.comparisons]
    assert whole == pytest.approx(errors, rel=1e-3)
    assert left == pytest.approx(errors * np.sqrt([s.images for s in sources]), rel=2e-3, abs=2e-3)
    assert left_and_middle == pytest.approx(errors * np.sqrt([s.images + s.residual for s in sources]), rel=2e-3)


def test_the_parts_of_a_bar_are_told_apart_without_their_colour(report, figures):
    svg = figures["variance"].svg
    patterns = re.findall(r"fill: url\(#(\w+)\)", svg)
    assert len(patterns) == len(report.comparisons) + 1  # the hatched part of each bar, and of the key
    assert {"test images", "a run on an image", "seeds"} <= set(words(figures["variance"]))


def test_each_bar_has_its_standard_error_and_its_shares_in_print(report, figures):
    said = words(figures["variance"])
    assert said.count("50%") == 1
    assert {"0.19", "0.27", "0.33", "images help more", "seeds help more", "both help alike"} <= set(said)
    assert "focal_gamma=1 standard error 0.19 pt (test images 50%, a run on an image 30%, seeds 20%)" in (
        figures["variance"].alt
    )


@pytest.mark.parametrize("estimand", ["seeds", "images"])
def test_a_variance_of_one_source_is_not_drawn(report, estimand):
    assert "variance" not in drawn(replace(report, estimand=estimand))


def test_the_band_around_the_baseline_is_said_with_its_interval_or_to_be_assumed(report, figures):
    assert "deviation either way, 0.61 pt (95% interval 0.49 to 0.81)." in figures["seeds"].caption
    assert "either way, 0.6 pt (assumed)." in drawn(replace(report, noise=None))["seeds"].caption


def test_names_with_dollars_are_no_formulas(awkward):
    assert "<b>&amp;$x_1$" in words(drawn(awkward)["forest"])


@pytest.mark.parametrize(
    ("metric", "label"),
    [("nll", "NLL, arm minus baseline"), ("recall:eczema", "recall of eczema, arm minus baseline, points")],
)
def test_the_axis_names_metric_and_unit(report, metric, label):
    assert label in words(drawn(replace(report, metric=metric))["forest"])
