import re

import pytest

from analysis.report import figures_of, render_html
from analysis.report.chance import legend
from analysis.report.drawing import PAPER
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
    assert re.findall(r"<(?:script|link|img|iframe|object)\b|@import|\bsrc=", html) == []
    links = re.findall(r'(?:href="|url\()(.)', html)
    assert set(links) == {"#"}


def test_figures_on_one_page_share_no_id(page):
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_every_reference_within_a_figure_leads_to_one(page):
    wanted = set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page))
    assert wanted
    assert {a or b for a, b in wanted} <= set(re.findall(r'\bid="([^"]*)"', page))


def test_sections_come_in_the_order_in_which_they_are_read(page):
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "Verdicts",
        "How much is chance?",
        "How large is each delta, and how sure is it?",
        "How far do runs of the same arm lie apart?",
        "Which classes gain, and which pay?",
        "Which classes swallow others?",
        "Where does the doubt in each delta come from?",
        "To be known",
        "How it was made",
    ]


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
    assert re.findall(r"<h2>(.*?)</h2>", html)[:3] == [
        "Runs",
        "How much is chance?",
        "How far do runs of the same arm lie apart?",
    ]
    assert '<th scope="col" class="n">95% interval' not in html
    assert "P(better)" not in html


def test_names_stay_names(awkward):
    html = page_of(awkward)
    assert "&lt;b&gt;&amp;amp;$x_1$" in html
    assert "&lt;i&gt;mel|anoma&lt;/i&gt;" in html
    assert re.findall("<(?:b|i)>", html) == ["<b>"] * len(awkward.comparisons)  # one reason each


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_as_legible_as_wcag_aa_asks(page, scheme):
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in page.split(":root {")[1:3])
    colours = light if scheme == "light" else dark
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
