"""Scores whose predictions are gone: what is read, what is refused, and what can be said of them."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analysis import significance
from analysis.comparison import compare
from analysis.sources import load
from tests.report.browser import look

DOCS = Path(__file__).parents[2] / "docs" / "predictions-format.md"


@pytest.fixture
def written(tmp_path):
    """Writes a CSV and gives its path."""

    def write(text):
        (tmp_path / "scores.csv").write_text(text)
        return tmp_path / "scores.csv"

    return write


def table(arms, header="arm,seed,balanced_accuracy"):
    """Arms by name, each with its scores by seed."""
    rows = [f"{arm},{seed},{score:.6f}" for arm, runs in arms.items() for seed, score in runs.items()]
    return "\n".join([header, *rows, ""])


def drawn(gains, *, n_seeds=5, apart=False, block=0.0, rng_seed=4):
    """Arms whose runs share seeds, or have seeds of their own where they are `apart`."""
    rng = np.random.default_rng(rng_seed)
    shift = block * rng.normal(size=n_seeds)
    return {
        arm: {
            i + 100 * number * apart: 0.6 + gain + 0.006 * (shift[i] + x)
            for i, x in enumerate(rng.normal(size=n_seeds))
        }
        for number, (arm, gain) in enumerate(gains.items())
    }


def by_arm(report):
    return {c.arm: c for c in report.comparisons}


@pytest.fixture
def story(tmp_path, monkeypatch, capsys):
    """The docs' table, judged by the docs' command; the JSON report and what the terminal says."""
    page = DOCS.read_text()
    (example,) = re.findall(r"```csv\n(arm,seed,top1,.*?)```", page, re.DOTALL)
    (command,) = re.findall(r"^python -m analysis\.significance (scores\.csv .*)$", page, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    Path("scores.csv").write_text(example)
    assert significance.main([*command.split(), "--json", "r.json", "--html", "r.html", "--markdown", "r.md"]) == 0
    return json.loads(Path("r.json").read_text()), " ".join(capsys.readouterr().out.split())


def test_the_storys_single_runs_leave_focal_and_smoothing_open_and_rule_the_sampler_out(story):
    report, _ = story
    verdicts = {c["arm"]: (c["verdict"], c["label"], round(100 * c["delta"], 2)) for c in report["comparisons"]}
    assert verdicts == {
        "focal": ("inconclusive", "", 1.13),
        "sampler": ("reject", "worse", -4.04),
        "smoothing": ("inconclusive", "", 0.11),
    }


def test_the_storys_intervals_are_those_of_the_assumed_noise_alone_and_of_three_arms_at_once(story):
    focal = story[0]["comparisons"][0]
    se = 0.006 * math.sqrt(2)
    assert focal["se"] == pytest.approx(se)
    assert (focal["ci_low_closed"], focal["ci_high_closed"]) == pytest.approx(
        (0.0113 - 1.96 * se, 0.0113 + 1.96 * se), abs=1e-6
    )
    shared = stats.multivariate_normal(np.zeros(3), np.full((3, 3), 0.5) + 0.5 * np.eye(3))
    limit = (focal["ci_high_simultaneous"] - focal["delta"]) / se
    assert shared.cdf(np.full(3, limit), lower_limit=np.full(3, -limit)) == pytest.approx(0.95, abs=0.004)


def test_the_docs_tell_the_deltas_and_intervals_that_the_command_gives(story):
    section = DOCS.read_text().partition("\n## Scores alone\n")[2].partition("\n## ")[0].replace("\n", " ")
    told = re.findall(r"([+−]\d\.\d\d)[^(;]*\(([+−]\d\.\d\d) to ([+−]\d\.\d\d)\)", section)
    keys = ("delta", "ci_low_simultaneous", "ci_high_simultaneous")
    assert told == [
        tuple(f"{100 * c[key]:+.2f}".replace("-", "−") for key in keys) for c in story[0]["comparisons"]
    ]


def test_what_only_images_could_tell_is_null_for_programs(story):
    unknown = ("v_img", "v_res", "sources")
    assert all(c[key] is None for c in story[0]["comparisons"] for key in unknown)
    assert all(c["v_seed"] == pytest.approx(2 * 0.006**2) for c in story[0]["comparisons"])


@pytest.mark.usefixtures("story")
def test_the_storys_page_fits_a_phone_and_a_desk_and_has_two_figures():
    page = Path("r.html").read_text()
    found, console = look([(page, 390), (page, 1280)])
    assert console == []
    for seen in found:
        assert (seen["scrolls"], seen["overflowing"], seen["clipped"], seen["touching"]) == (False, [], [], [])
        assert len(seen["texts"]) == 2


def test_the_storys_report_says_what_scores_cannot_tell_and_nothing_of_images(story):
    report, told = story
    assert "these are scores alone" in told
    assert "1 seed an arm, scores alone" in told
    assert told.count("all arms: one run each: a run-to-run standard deviation of 0.006 is assumed") == 1
    assert "speak for new seeds on this test set" in told
    assert (report["n_images"], report["n_classes"], report["estimand"]) == (None, None, "seeds")
    assert report["arms"][0]["top3"] == 0.9276
    assert report["arms"][0]["ece"] is None
    for file in ("r.html", "r.md"):
        text = Path(file).read_text()
        assert "test image" not in text
        assert "Recall of each class" not in text
        assert "swallow" not in text


def test_the_sampler_falls_in_top_1_too_and_the_guard_says_so(story):
    guard = {c["arm"]: c["guards"][0] for c in story[0]["comparisons"]}["sampler"]
    assert (guard["metric"], guard["non_inferior"]) == ("top1", False)


def test_two_arms_with_paired_seeds_have_the_paired_t_interval(written):
    runs = drawn({"baseline": 0.0, "focal": 0.01}, n_seeds=5, block=2.0)
    (only,) = compare(load(written(table(runs)))).comparisons
    there = stats.ttest_rel([*runs["focal"].values()], [*runs["baseline"].values()])
    low, high = there.confidence_interval(0.95)
    assert (only.ci_low_closed, only.ci_high_closed) == pytest.approx((low, high), abs=1e-6)
    assert (only.ci_low, only.ci_high) == pytest.approx((low, high), abs=4e-4)
    assert only.p_value == pytest.approx(there.pvalue, abs=0.01)


def test_arms_with_seeds_of_their_own_have_dunnetts_p_and_intervals(written):
    runs = drawn({"baseline": 0.0, "a": 0.012, "b": 0.004, "c": 0.0}, apart=True)
    found = by_arm(compare(load(written(table(runs)))))
    samples = [[*runs[arm].values()] for arm in "abc"]
    there = stats.dunnett(*samples, control=[*runs["baseline"].values()], rng=np.random.default_rng(0))
    strongest = "abc"[int(np.argmin(there.pvalue))]
    assert found[strongest].p_adjusted == pytest.approx(there.pvalue.min(), abs=0.01)
    ends = there.confidence_interval(0.95)
    assert [found[arm].ci_low_simultaneous for arm in "abc"] == pytest.approx(ends.low, abs=4e-4)
    assert [found[arm].ci_high_simultaneous for arm in "abc"] == pytest.approx(ends.high, abs=4e-4)


def test_equal_scores_are_not_taken_for_equal_predictions(written):
    runs = drawn({"baseline": 0.0, "focal": 0.0})
    runs["focal"] = runs["baseline"]
    (only,) = compare(load(written(table(runs)))).comparisons
    assert only.delta == 0
    assert only.se > 0
    assert only.notes == ()


def test_unequal_seeds_are_said(written):
    runs = drawn({"baseline": 0.0, "focal": 0.01})
    del runs["focal"][3]
    report = compare(load(written(table(runs))))
    assert "the arms' seeds differ: focal lacks 3" in report.problems
    assert report.comparisons[0].notes == ("the arms' seeds differ: runs are paired as far as the arms share them",)


def test_the_estimand_is_seeds_and_images_alone_are_refused(written, capsys):
    path = written(table(drawn({"baseline": 0.0, "focal": 0.01})))
    assert significance.main([str(path), "--estimand", "images"]) == 2
    said = capsys.readouterr().err
    assert said == "dermtune-significance: estimand must be seeds where scores alone are known, got 'images'\n"
    assert compare(load(path), estimand="both").estimand == "seeds"


def test_another_column_is_a_metric_of_its_own(written):
    text = "arm,seed,recall:acne,nll\nbaseline,0,.5,1.2\nfocal,0,.6,1.1\n"
    assert compare(load(written(text))).metric == "recall:acne"
    (only,) = compare(load(written(text)), metric="nll", margin=0.01).comparisons
    assert only.delta == pytest.approx(-0.1)
    assert only.verdict == "keep"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("arm,seed,auc\na,0,.5\n", "a column of scores must be one of top1, top3, balanced_accuracy, macro_f1, "),
        ("arm,seed,recall:\na,0,.5\n", "or over_prediction:<class>, got 'recall:'"),
        ("arm,seed,top1\na,0,73.6\n", "top1 must be a fraction, .736 and not 73.6; 1 of 1 rows"),
        ("arm,seed,top1\na,0,.5\na,1,\n", "top1 must be a number; 1 of 2 rows break this, the first is row 2 ('')"),
        ("arm,seed,nll\na,0,-1\n", "nll must be >= 0"),
        ("arm,seed,top1\na,0,.5\na,0,.6\n", "arm and seed must be unique"),
        ("arm,seed,top1\na,0,.5\na,00,.6\n", "arm and seed must be unique; 1 of 2 rows"),
        ("arm,top1\na,.5\n", "(prediction files), 'seed' is missing (it has arm, top1)"),
        ("arm,seed\na,0\n", "(prediction files), a metric is missing (it has arm, seed)"),
        ("arm,seed,top1\na,0,inf\n", "top1 must be a number"),
        ("arm,seed,top1\na,x,.5\n", "seed must be a whole number"),
        ("arm,seed,top1\n,0,.5\n", "arm must have a name"),
        ("arm,seed,top1\n", "must have at least one run, got none"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_judged_is_refused_in_one_line(written, capsys, text, told):
    assert significance.main([str(written(text))]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert told in said


def test_a_metric_that_is_no_column_is_named_with_those_that_are(written, capsys):
    path = written(table(drawn({"baseline": 0.0, "focal": 0.01})))
    assert significance.main([str(path), "--metric", "top1"]) == 2
    assert "metric must be a column of the scores, balanced_accuracy, got 'top1'" in capsys.readouterr().err
