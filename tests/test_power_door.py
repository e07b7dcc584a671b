"""The door `python -m analysis.power`: plans from nothing, and from sweeps of which the truth is known."""

import json
import math
import re
import subprocess
import sys

import pytest
from rich.cells import cell_len
from scipy import stats

from analysis import power
from tests.finished_sweep import write_sweep

ARMS = ("baseline", "focal_gamma=1", "focal_gamma=2", "focal_gamma=3")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("runs") / "focal_ls-laptop", dict.fromkeys(ARMS, 0.0))


@pytest.fixture
def printed(capsys, monkeypatch):
    """Runs the door; what it printed, line by line."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*options):
        assert power.main([str(option) for option in options]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out.splitlines()

    return run


@pytest.fixture
def planned(tmp_path, printed):
    """Runs the door; the plan that it wrote for programs."""

    def run(*options):
        file = tmp_path / "plan.json"
        printed(*options, "--json", file)
        return json.loads(file.read_text())

    return run


@pytest.fixture
def refused(capsys):
    """Runs the door; the one line with which it refuses."""

    def run(*options):
        try:
            code = power.main([str(option) for option in options])
        except SystemExit as stop:  # argparse ends the process itself
            code = stop.code
        out, err = capsys.readouterr()
        assert (code, out, err.count("\n")) == (2, "", 1)
        return err.removeprefix("dermtune-power: ").strip()

    return run


def sentence(lines):
    """The paragraph before the table."""
    return " ".join(" ".join(lines).split("smallest found")[0].split()).removesuffix(" seeds for")


def row(lines, title):
    """The cells of a table's row."""
    [line] = [line for line in lines if line.startswith(f"{title}  ")]
    return re.split(r"\s{2,}", line.strip())[1:]


def test_one_change_takes_the_seeds_of_a_textbooks_paired_t_test(printed):
    lines = printed()
    assert sentence(lines) == (
        "It takes 18 seeds an arm, 36 runs, to find a true delta of 0.6 pt with a probability of 80%."
    )
    assert row(lines, "the arm") == ["1.84", "1.43", "0.85", "0.66", "0.56", "18"]
    assert row(lines, "runs in all") == ["6", "10", "20", "30", "40"]


def test_the_answer_says_what_the_seeds_that_were_asked_about_find(printed):
    lines = printed("--arms", 8, "--seeds", 7)
    assert sentence(lines) == (
        "With all 7 arms judged at once, 7 seeds an arm find a true delta of 1.15 pt with a probability of 80%, "
        "and one of 0.6 pt with 21%. It takes 25 seeds an arm, 200 runs, to find a true delta of 0.6 pt with a "
        "probability of 80%."
    )
    assert row(lines, "7 arms judged at once")[2] == "1.15"
    assert len(row(lines, "one arm by itself")) == 7


def test_a_grid_shows_the_main_effects_and_interactions_that_few_seeds_can_see(printed):
    lines = printed("--levels", "3x3x2")
    assert row(lines, "main effect, 2 levels")[0] == "0.47"
    assert row(lines, "main effect, 3 levels")[0] == "0.58"
    assert row(lines, "interaction, 3 × 2 levels")[0] == "1.15"
    assert row(lines, "runs in all")[0] == "54"


def test_one_seed_finds_nothing(printed):
    lines = printed("--seeds", 1)
    assert sentence(lines).startswith(
        "One seed an arm measures no noise and finds nothing. It takes 18 seeds an arm"
    )
    assert row(lines, "the arm")[0] == "–"


def test_what_seeds_cannot_buy_is_said(printed):
    hidden = printed("--image-sd", 0.003)
    assert sentence(hidden).startswith("It takes more test images than these to find a true delta of 0.6 pt")
    assert row(hidden, "the arm")[-1] == "none"
    far = printed("--delta", 0.0001)
    assert sentence(far).startswith("It takes more than 1000 seeds an arm to find a true delta of 0.01 pt")
    assert row(far, "the arm")[-1] == ">1000"


def test_what_the_plan_rests_on_stands_with_where_it_comes_from(printed):
    lines = printed("--run-sd", 0.008)
    assert row(lines, "run-to-run sd") == ["0.8 pt", "given"]
    assert row(lines, "seed correlation") == ["0.00", "assumed"]
    assert row(lines, "sd from images") == ["0 pt", "not counted"]
    assert lines[-2] == "Planned from variances; the power of an observed delta would say nothing new."


def test_arms_with_seeds_of_their_own_have_no_correlation_over_them(planned, printed):
    unpaired = planned("--arms", 8, "--seed-correlation", 0.5, "--unpaired")
    assert unpaired["layout"]["paired"] is False
    assert unpaired["sights"] == planned("--arms", 8, "--unpaired")["sights"]
    assert not any(line.startswith("seed correlation") for line in printed("--unpaired"))


def test_an_earlier_study_gives_its_arms_its_margin_and_its_noise(sweep, planned, printed):
    plan = planned("--from", sweep)
    variation = plan["layout"]["variation"]
    assert (plan["layout"]["n_arms"], plan["delta"]) == (4, 0.006)
    assert {variation["run_sd_from"], variation["seed_correlation_from"]} == {"measured on 20 runs"}
    assert row(printed("--from", sweep), "sd from images")[1] == "measured on 1,512 images"


def test_what_is_missing_in_the_earlier_study_is_said(tmp_path, printed):
    folder = write_sweep(tmp_path / "torn-laptop", dict.fromkeys(ARMS[:2], 0.0))
    next((folder / "trials").glob("*/manifest.json")).unlink()
    lines = printed("--from", folder)
    assert any(line.startswith("! 1 of 10 runs is missing: ") for line in lines)
    assert row(lines, "run-to-run sd")[1] == "measured on 9 runs"


def test_an_option_goes_before_what_was_measured(sweep, planned):
    plan = planned("--from", sweep, "--arms", 2, "--delta", 0.01, "--run-sd", 0.005)
    assert (plan["layout"]["n_arms"], plan["delta"]) == (2, 0.01)
    assert plan["layout"]["variation"]["run_sd_from"] == "given"
    assert plan["layout"]["variation"]["image_sd_from"] == "measured on 1,512 images"


def test_a_metric_of_the_earlier_study_is_planned_for_in_its_unit(sweep, printed):
    lines = printed("--from", sweep, "--metric", "nll", "--delta", 0.05)
    assert "a true delta of 0.05 with" in sentence(lines)
    assert row(lines, "run-to-run sd")[0].startswith("0.")


def test_the_plan_for_programs_holds_fractions(planned):
    plan = planned("--arms", 3, "--seeds", 1)
    assert (plan["format"], plan["power"], plan["found"]) == (1, 0.8, 0.0)
    assert plan["sights"][1]["smallest"]["1"] is None
    standard_errors = plan["sights"][1]["smallest"]["3"] / (0.006 * math.sqrt(2 / 3))
    assert stats.nct.sf(stats.t.isf(0.025, 4), 4, standard_errors) == pytest.approx(0.8)


@pytest.mark.parametrize(
    "options", [(), ("--levels", "3x3x2", "--seeds", "7"), ("--arms", "100", "--delta", "1e-5")]
)
def test_the_plan_fits_a_narrow_terminal(printed, options):
    assert max(cell_len(line.rstrip()) for line in printed(*options)) <= 80


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--arms", "1"), "the arms must be at least 2, the baseline included, got 1"),
        (("--arms", "two"), "argument --arms: must be a whole number of at least 1, got 'two'; --help says more"),
        (
            ("--levels", "3x1"),
            "argument --levels: must be levels of 2 or more, joined by x, such as 3x3x2, got '3x1'",
        ),
        (("--levels", "2x2", "--arms", "4"), "argument --arms: not allowed with argument --levels"),
        (("--run-sd", "-1"), "the run-to-run standard deviation must be above 0, got -1.0"),
        (("--delta", "0"), "the delta must be above 0, got 0.0"),
        (("--power", "1"), "the power must be at least 0.5 and below 1, got 1.0"),
        (("--metric", "nll"), "--metric needs --from: without an earlier study nothing is known of it"),
        (("--from", "gone"), "gone must be a sweep's folder (with sweep.json) or an index CSV (arm, seed, path)"),
        (("--json", ""), "argument --json: must name a file, got ''"),
        (("--json", "/dev/null/plan.json"), "/dev/null/plan.json must be a file that can be written, got: "),
    ],
)
def test_bad_input_gets_one_line(refused, options, told):
    assert refused(*options).startswith(told)


def test_a_metric_that_there_is_not_is_refused(sweep, refused):
    assert refused("--from", sweep, "--metric", "accuracy").startswith("metric must be one of top1, ")


def test_a_plan_draws_nothing_and_loads_no_matplotlib():
    code = "import sys; from analysis.power import main; main([]); print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
