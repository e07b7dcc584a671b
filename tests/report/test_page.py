import json
import re
from itertools import pairwise

import pytest

from analysis.report import figures_of, render_html
from analysis.report.chance import legend
from analysis.report.drawing import PAPER
from analysis.report.section import Column, Section, Table
from tests.report.browser import look

PHONE, DESK = 390, 1280
ASKED = "http://127.0.0.1:9/sheet.css"
TOO_WIDE = f"""<script>console.log("heard")</script><link rel="stylesheet" href="{ASKED}">
<body><div style="width:500px">too wide</div>"""
CUT_OFF = """<figure><svg width="90" height="30"><text x="60" y="20">longer than its room</text>
<text x="2" y="20">on top of it</text></svg></figure>"""


def page_of(report):
    return render_html(report, figures_of(report))


@pytest.fixture(params=["report", "wide", "awkward", "alone"])
def any_report(request):
    return request.getfixturevalue(request.param)


def test_the_browser_sees_what_sticks_out_is_cut_off_or_is_on_the_console():
    (wide, cut), console = look([(TOO_WIDE, PHONE), (CUT_OFF, PHONE)])
    assert wide["scrolls"]
    assert wide["overflowing"] == ["too wide"]
    assert cut["clipped"] == ["longer than its room"]
    assert cut["touching"] == ["longer than its room / on top of it"]
    assert (wide["requests"], cut["requests"]) == ([ASKED], [])
    assert (cut["names"], cut["smallest"]) == ([], 16)
    assert any("heard" in line for line in console)


def test_the_page_fits_a_phone_and_a_desk_with_no_label_cut_off(any_report):
    html = page_of(any_report)
    found, console = look([(html, PHONE), (html, DESK)])
    assert console == []
    for seen in found:
        assert (seen["scrolls"], seen["overflowing"], seen["clipped"], seen["touching"]) == (False, [], [], [])
        assert (seen["background"], seen["requests"]) == ("rgb(246, 247, 249)", [])
        assert len(seen["texts"]) == len(figures_of(any_report))
        assert min(seen["texts"]) > len(any_report.arms)


def test_every_figure_has_a_name_for_a_screen_reader_and_legible_words_on_a_phone(report, page, figures):
    ((phone,), _) = look([(page, PHONE)])
    assert phone["names"] == [figure.alt for figure in figures.values()]
    assert phone["smallest"] >= 8.5


def test_the_page_goes_dark_with_the_reader(page):
    ((dark,), _) = look([(page, DESK)], dark=True)
    assert dark["background"] == "rgb(14, 18, 23)"


def test_no_colour_of_a_figure_stays_behind_when_the_page_goes_dark(figures):
    for figure in figures.values():
        assert PAPER in figure.svg
        assert re.findall("#[0-9a-f]{6}", figure.inline()) == []


def test_the_page_asks_for_nothing_beyond_itself(any_report):
    html = page_of(any_report)
    assert re.findall(r"<(?:link|img|iframe|object)\b|@import|\bsrc=|fetch|XMLHttp", html) == []
    assert html.count("<script>") == html.count("<script") == 1
    links = re.findall(r'(?:href="|url\()(.)', html)
    assert set(links) == {"#"}


def test_figures_on_one_page_share_no_id(page):
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_every_reference_within_a_figure_leads_to_one(page):
    wanted = set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page))
    assert wanted
    assert {a or b for a, b in wanted} <= set(re.findall(r'\bid="([^"]*)"', page))


def headings(page):
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_parts_come_in_the_order_in_which_they_are_read(page):
    assert headings(page) == [
        "Verdicts",
        "How large is each delta, and how sure is it?",
        "How far do runs of the same arm lie apart?",
        "Which classes gain, and which pay?",
        "How much is chance?",
        "To be known",
        "How it was made",
    ]


KEYS = ("long-tail", "after-training", "calibration", "abstain", "label-noise", "labels", "recommendation")
"""Of the sections that others make, in the page's order."""


def section(key):
    return Section(
        key=key,
        title=f"What of {key}?",
        said=(f"✓ focal_gamma=2+{key} holds.", "And so on."),
        tables=(
            Table(name=f"{key}, at once", columns=MOVES, rows=ROWS),
            Table(name=f"{key}, to look up", columns=MOVES, rows=ROWS, folded=True),
        ),
        note="Intervals hold for all arms at once.",
    )


MOVES = (Column(title="class"), Column(title="recall, pt", number=True), Column(title="interval", number=True))
ROWS = (
    ("psoriasis", "−12.31", "−20.10 to −3.00"),
    ("acne", "+0.40", "−1.00 to +1.80"),
    ("tinea", "–", ""),
    ("eczema", "+1,012.00", "+3.00 to +4.00"),
)


@pytest.mark.parametrize("keys", [KEYS, KEYS[::-1], KEYS[1::2], ()])
def test_sections_take_their_place_whatever_order_they_come_in(report, keys):
    page = render_html(report, figures_of(report), [section(key) for key in keys])
    places = [page.index(f'<section id="{key}">') for key in KEYS if key in keys]
    assert places == sorted(places)
    of = [title for title in headings(page) if title not in {f"What of {key}?" for key in KEYS}]
    assert of == headings(page_of(report))
    if "abstain" in keys:
        assert page.index('id="abstain"') < page.index('id="chance"') < page.index('id="labels"')


def test_a_section_without_a_place_of_its_own_comes_before_the_recommendation(report):
    titles = headings(render_html(report, (), [section("recommendation"), section("fairness"), section("labels")]))
    assert titles[2:5] == ["What of labels?", "What of fairness?", "What of recommendation?"]


def test_the_contents_lead_to_every_part(report):
    page = render_html(report, figures_of(report), [section(key) for key in KEYS])
    contents = page.partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r'<a href="#([^"]*)">', contents) == re.findall(r'<section id="([^"]*)">', page)
    assert 'href="#verdicts">Skip to the verdicts</a>' in page


def test_headings_descend_one_step_at_a_time_and_the_page_has_its_landmarks(report):
    page = render_html(report, figures_of(report), [section(key) for key in KEYS])
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert [page.count(f"<{mark}") for mark in ("main>", "header>", "nav aria-label=")] == [1, 1, 1]


def test_sections_of_every_kind_fit_a_phone_and_a_desk(report):
    page = render_html(report, figures_of(report), [section(key) for key in KEYS])
    found, console = look([(page, PHONE), (page, DESK)])
    assert console == []
    for seen in found:
        assert (seen["scrolls"], seen["overflowing"], seen["clipped"], seen["touching"]) == (False, [], [], [])


def columns_after(report, key, *clicks):
    """Row names of the section's first table, and how its heads say they sort, after clicks on these heads."""
    page = render_html(report, (), [section(key)])
    clicked = "".join(f"heads[{at}].querySelector('button').click();" for at in clicks)
    script = f"""<script>{{
      const table = document.querySelector('#{key} table'), heads = table.tHead.rows[0].cells;
      {clicked}
      console.log(JSON.stringify([[...table.tBodies[0].rows].map(row => row.cells[0].textContent),
        [...heads].map(head => head.getAttribute('aria-sort'))]));
    }}</script>"""
    _, console = look([(page.replace("</body>", f"{script}</body>"), DESK)])
    (line,) = [line for line in console if "[[" in line]
    return json.loads(re.search(r"\[\[.*\]\]", line)[0])


@pytest.mark.parametrize(
    ("clicks", "names", "sorts"),
    [
        ((), ["psoriasis", "acne", "tinea", "eczema"], [None, None, None]),
        ((0,), ["acne", "eczema", "psoriasis", "tinea"], ["ascending", None, None]),
        ((1,), ["eczema", "acne", "psoriasis", "tinea"], [None, "descending", None]),
        ((1, 1), ["psoriasis", "acne", "eczema", "tinea"], [None, "ascending", None]),
        ((0, 2), ["eczema", "acne", "psoriasis", "tinea"], [None, None, "descending"]),
        ((2, 2, 2), ["psoriasis", "acne", "tinea", "eczema"], [None, None, None]),
    ],
)
def test_a_click_on_a_head_sorts_by_value_then_turns_round_then_lets_go(report, clicks, names, sorts):
    assert columns_after(report, "labels", *clicks) == [names, sorts]


def test_the_verdicts_sort_by_delta_with_the_baseline_last(report):
    ranked = sorted(report.comparisons, key=lambda c: -c.delta)
    assert columns_after(report, "verdicts", 2)[0] == [*(c.arm for c in ranked), "baseline"]


def test_a_row_has_both_corrected_ps_the_chance_to_be_better_and_how_often_one_run_misleads(report, page):
    comparison = report.comparisons[2]
    (row,) = re.findall(r'<tr class="keep">\s*<th scope="row">focal_gamma=3</th>.*?</tr>', page, re.DOTALL)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
    wrong = sum(delta < 0 for delta in comparison.seed_deltas)
    assert cells[3:6] == ["0.002<small>0.003</small>", "91%", f"{wrong} of 5"]
    assert legend(report) in page.replace("&#39;", "'")


def test_the_verdict_table_fits_a_desk_without_scrolling(report):
    ((desk,), _) = look([(page_of(report), DESK)])
    assert desk["scrolling"] == []


def test_an_arm_alone_has_runs_but_no_verdicts(alone):
    html = page_of(alone)
    assert headings(html)[:4] == [
        "Runs",
        "How far do runs of the same arm lie apart?",
        "Which classes swallow others?",
        "How much is chance?",
    ]
    assert '<th scope="col" class="n">95% interval' not in html
    assert "P(better)" not in html


def test_names_stay_names(awkward):
    html = page_of(awkward)
    assert "&lt;b&gt;&amp;amp;$x_1$" in html
    assert "&lt;i&gt;mel|anoma&lt;/i&gt;" in html
    assert re.findall("<(?:b|i)>", html) == ["<b>"] * len(awkward.comparisons)  # one reason each


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_text_is_as_legible_as_wcag_aa_asks(page, scheme):
    blocks = [dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in page.split(":root {")[1:]]
    colours = dict(zip(("light", "dark", "print"), blocks, strict=True))[scheme]
    papers = [colours[name] for name in ("page", "paper")]
    filled = [mixed(colours[name], colours["paper"]) for name in ("accent", "warm")]
    for text, behind in [("ink", p) for p in (*papers, *filled)] + [
        (text, p) for text in ("muted", "accent", "warm") for p in papers
    ]:
        assert contrast(colours[text], behind) >= 4.5, (text, behind)


def test_the_contrast_is_that_of_wcag():
    """Black on white is 21:1 and #767676 the lightest grey that passes, as WCAG's techniques have it."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


def channels(colour):
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def mixed(colour, paper):
    """The fullest cell of a heat map: half colour, half paper."""
    pairs = zip(channels(colour), channels(paper), strict=True)
    return "#" + "".join(f"{round(255 * (a + b) / 2):02x}" for a, b in pairs)


def contrast(one, other):
    """WCAG 2.2, contrast ratio."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels(colour)]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
