import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import significance
from tests.finished_sweep import QUESTION, write_sweep

ROOT = Path(__file__).parents[1]
GAINS = {"baseline": 0.0, "focal_gamma=1": 0.1, "focal_gamma=2": 1.0, "label_smoothing=0.1": 0.0}
OPTIONS = "--baseline --metric --margin --estimand --resamples --seed --run-sd --json --html --markdown --require"
LESS = ("--resamples", "200")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Three seeds of four arms; the last predicts what the baseline does."""
    return write_sweep(tmp_path_factory.mktemp("runs") / "small", GAINS, n_seeds=3, sizes=(60, 30, 15))


@pytest.fixture(scope="module")
def single_runs(tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("runs") / "single", GAINS, n_seeds=1, sizes=(60, 30, 15))


@pytest.fixture
def told(capsys):
    """What the command says, with its exit code."""

    def told(path, *options):
        code = significance.main([str(path), *LESS, *options])
        said = capsys.readouterr()
        return code, said.out, said.err

    return told


@pytest.fixture
def judged(told, tmp_path):
    """The JSON report of a run of the command that finds nothing amiss."""

    def judged(path, *options):
        code, _, err = told(path, *options, "--json", str(tmp_path / "judged.json"))
        assert (code, err) == (0, "")
        return json.loads((tmp_path / "judged.json").read_text())

    return judged


@pytest.fixture
def help_text(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match=r"^0$"):
        significance.main(["--help"])
    return capsys.readouterr().out


def comparison(report, arm):
    return next(c for c in report["comparisons"] if c["arm"] == arm)


def deltas(report):
    return {c["arm"]: c["delta"] for c in report["comparisons"]}


def ends(report):
    return [(c["ci_low_simultaneous"], c["ci_high_simultaneous"]) for c in report["comparisons"]]


def test_the_help_teaches_path_verdicts_estimands_examples_and_exit_codes_in_80_columns(help_text):
    assert max(map(len, help_text.splitlines())) <= 80
    for section in ("PATH is a sweep's folder", "verdicts,", "estimands,", "examples:", "exit codes: 0"):
        assert section in help_text
    for word in ("keep", "practical", "at a cost", "reject", "worse", "equivalent", "inconclusive"):
        assert word in help_text
    assert re.findall(r"^  (both|seeds|images) ", help_text, re.MULTILINE) == ["both", "seeds", "images"]


def test_the_help_has_every_option_and_no_other(help_text):
    assert set(re.findall(r"^  (--[\w-]+)", help_text, re.MULTILINE)) == set(OPTIONS.split())


def test_the_examples_in_the_help_are_taken_by_the_parser(help_text, capsys):
    commands = help_text.partition("examples:\n")[2].partition("\nexit")[0].replace("\\\n", " ").strip()
    for line in commands.splitlines():
        words = line.split()
        assert words[:3] == ["python", "-m", "analysis.significance"]
        assert significance.main(words[3:]) == 2
        assert "must be a sweep's folder" in capsys.readouterr().err


def test_a_required_verdict_that_holds_is_exit_0(sweep, told):
    code, out, err = told(sweep, "--require", "focal_gamma=2:keep", "--require", "label_smoothing=0.1:reject")
    assert (code, err) == (0, "")
    assert QUESTION in out


def test_a_required_verdict_that_does_not_hold_is_exit_1_after_the_report_and_says_which_came(sweep, told):
    code, out, err = told(sweep, "--require", "focal_gamma=2:keep", "--require", "label_smoothing=0.1:keep")
    assert code == 1
    assert err == "--require label_smoothing=0.1:keep does not hold: the verdict is reject\n"
    assert QUESTION in out


def test_every_required_verdict_that_does_not_hold_is_said(sweep, told):
    code, _, err = told(sweep, "--require", "focal_gamma=2:reject", "--require", "label_smoothing=0.1:keep")
    assert code == 1
    assert re.findall(r"--require (\S+):\w+ does not hold", err) == ["focal_gamma=2", "label_smoothing=0.1"]


def test_nothing_can_be_required_of_the_baseline_and_nothing_is_written_then(sweep, told, tmp_path):
    code, out, err = told(sweep, "--require", "baseline:keep", "--json", str(tmp_path / "report.json"))
    assert (code, out) == (2, "")
    assert "must name one of the arms focal_gamma=1, focal_gamma=2, label_smoothing=0.1, got 'baseline'" in err
    assert list(tmp_path.iterdir()) == []


def test_an_arm_whose_name_has_a_colon_can_be_required(told, tmp_path):
    folder = write_sweep(tmp_path / "colon", {"baseline": 0.0, "a:b": 1.0}, n_seeds=3, sizes=(60, 30, 15))
    assert told(folder, "--require", "a:b:keep")[0] == 0
    assert told(folder, "--require", "a:b:reject")[0] == 1


def test_json_html_and_markdown_are_written_into_folders_that_are_made(sweep, told, tmp_path):
    files = [tmp_path / "new" / "deep" / name for name in ("r.json", "r.html", "r.md")]
    assert told(sweep, "--json", str(files[0]), "--html", str(files[1]), "--markdown", str(files[2]))[0] == 0
    assert sorted(files[0].parent.iterdir()) == sorted(files)
    assert json.loads(files[0].read_text())["name"] == "small"
    assert files[1].read_text().startswith("<!doctype html>")
    assert files[2].read_text().startswith("# small\n")


@pytest.mark.parametrize("option", ["--json", "--html", "--markdown"])
def test_a_path_that_cannot_be_written_is_one_line_and_exit_2(sweep, told, tmp_path, option):
    (tmp_path / "file").touch()
    blocked = tmp_path / "file" / "report"
    code, out, err = told(sweep, option, str(blocked))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{tmp_path / 'file'}" in err
    assert "must be a file that can be written, got: " in err


@pytest.mark.parametrize("metric", ["balanced_accuracy", "top1", "top3", "macro_f1", "ece", "nll"])
def test_each_metric_can_be_what_is_judged(sweep, judged, metric):
    report = judged(sweep, "--metric", metric)
    assert report["metric"] == metric
    for arm in report["arms"]:
        assert arm["mean"] == pytest.approx(arm[metric])
    means = {arm["arm"]: arm["mean"] for arm in report["arms"]}
    assert deltas(report) == pytest.approx(
        {arm: means[arm] - means["baseline"] for arm in GAINS if arm != "baseline"}
    )


def test_the_recall_of_one_class_can_be_what_is_judged(sweep, judged):
    report = judged(sweep, "--metric", "recall:class 2")
    baseline = report["arms"][0]
    assert baseline["mean"] == pytest.approx(baseline["classes"][2]["recall"])
    for arm in report["comparisons"]:
        assert arm["delta"] == pytest.approx(arm["class_deltas"]["class 2"])


def test_a_lower_calibration_error_is_what_is_kept(sweep, judged):
    report = judged(sweep, "--metric", "nll")
    better = comparison(report, "focal_gamma=2")
    assert (better["verdict"], better["ci_high_simultaneous"] < 0) == ("keep", True)


def test_another_baseline_turns_the_signs(sweep, judged):
    report, turned = judged(sweep), judged(sweep, "--baseline", "focal_gamma=2")
    assert turned["arms"][0]["arm"] == turned["baseline"] == "focal_gamma=2"
    assert comparison(turned, "baseline")["delta"] == -comparison(report, "focal_gamma=2")["delta"]
    assert comparison(turned, "baseline")["label"] == "worse"


def test_the_margin_decides_between_practical_and_small(sweep, judged):
    labels = [
        comparison(judged(sweep, "--margin", margin), "focal_gamma=2")["label"] for margin in ("0", "0.006", "0.9")
    ]
    assert labels == ["practical", "practical", "small"]


def test_the_estimand_decides_which_variances_count(sweep, judged):
    both, seeds, images = (
        comparison(judged(sweep, "--estimand", estimand), "focal_gamma=1")
        for estimand in ("both", "seeds", "images")
    )
    assert seeds["se"] ** 2 == pytest.approx(both["v_seed"])
    assert images["se"] ** 2 == pytest.approx(both["v_img"])
    assert both["se"] ** 2 == pytest.approx(both["v_seed"] + max(0, both["v_img"] - both["v_res"]))


@pytest.mark.parametrize(
    ("estimand", "population"),
    [
        ("both", "new seeds and new images"),
        ("seeds", "new seeds on this test set"),
        ("images", "these checkpoints on new images"),
    ],
)
def test_the_report_says_what_its_intervals_speak_for(sweep, told, estimand, population):
    _, out, _ = told(sweep, "--estimand", estimand)
    assert f"speak for {population}." in " ".join(out.split())


def test_more_resamples_resolve_smaller_p_values(sweep, judged):
    smallest = {
        n: comparison(judged(sweep, "--resamples", str(n), "--metric", "top1"), "focal_gamma=2")["p_value"]
        for n in (200, 400)
    }
    assert smallest == {200: 1 / 201, 400: 1 / 401}


def test_the_assumed_noise_counts_where_an_arm_has_one_run(single_runs, judged):
    for sd in (0.006, 0.02):
        report = judged(single_runs, "--run-sd", str(sd))
        assert report["run_sd"] == sd
        assert comparison(report, "focal_gamma=1")["v_seed"] == pytest.approx(2 * sd**2)


def test_the_assumed_noise_does_not_count_where_it_was_measured(sweep, judged):
    low, high = judged(sweep, "--run-sd", "0.001"), judged(sweep, "--run-sd", "0.1")
    assert low["comparisons"] == high["comparisons"]


def test_another_seed_moves_the_intervals_ends_and_not_the_deltas(sweep, judged):
    one, other = judged(sweep, "--seed", "0"), judged(sweep, "--seed", "1")
    assert deltas(one) == deltas(other)
    moved = [a != b for a, b in zip(ends(one), ends(other), strict=True)]
    assert moved == [True, True, False]  # the last arm has no variance


def test_the_same_input_and_seed_give_the_same_bytes_in_any_process(sweep, tmp_path):
    """Another hash seed orders sets otherwise, another COLUMNS the terminal alone."""
    for n in ("1", "2"):
        run = [sys.executable, "-m", "analysis.significance", sweep, *LESS]
        files = [
            "--json",
            tmp_path / f"{n}.json",
            "--html",
            tmp_path / f"{n}.html",
            "--markdown",
            tmp_path / f"{n}.md",
        ]
        world = {**os.environ, "PYTHONHASHSEED": n, "COLUMNS": f"{n}00"}
        subprocess.run(run + files, cwd=ROOT, env=world, check=True, capture_output=True)
    for kind in ("json", "html", "md"):
        assert (tmp_path / f"1.{kind}").read_bytes() == (tmp_path / f"2.{kind}").read_bytes()


def test_forty_trials_of_1512_images_are_judged_as_they_were_drawn(tmp_path, judged):
    gains = {
        "baseline": 0.0,
        "better": 1.0,
        "somewhat better": 0.25,
        "the same": 0.0,
        "a little": 0.04,
        "a little worse": -0.04,
        "worse": -0.3,
        "much worse": -1.0,
    }
    folder = write_sweep(tmp_path / "grid", gains, n_seeds=5, sizes=(1012, 168, 166, 78, 50, 21, 17))
    report = judged(folder)
    assert (report["n_images"], report["n_classes"], [arm["n_seeds"] for arm in report["arms"]]) == (
        1512,
        7,
        [5] * 8,
    )
    verdicts = {c["arm"]: (c["verdict"], c["label"]) for c in report["comparisons"]}
    assert verdicts["better"] == verdicts["somewhat better"] == ("keep", "practical")
    assert verdicts["the same"] == ("reject", "equivalent")
    assert verdicts["worse"] == verdicts["much worse"] == ("reject", "worse")
    assert verdicts["a little worse"][0] != "keep"
    same = comparison(report, "the same")
    assert (same["delta"], same["p_value"], "no discordant images" in same["notes"]) == (0, 1, True)
    ranked = sorted(deltas(report), key=deltas(report).get)
    assert ranked == sorted(ranked, key=gains.get)


def test_an_arm_alone_has_its_scores_and_its_noise_in_every_output(tmp_path, told):
    folder = write_sweep(tmp_path / "alone", {"baseline": 0.0}, n_seeds=3, sizes=(60, 30, 15))
    files = [tmp_path / f"r.{kind}" for kind in ("json", "html", "md")]
    code, out, err = told(folder, "--json", str(files[0]), "--html", str(files[1]), "--markdown", str(files[2]))
    assert (code, err) == (0, "")
    report = json.loads(files[0].read_text())
    assert report["comparisons"] == []
    mean = f"{100 * report['arms'][0]['mean']:.2f}"
    for text in (out, files[1].read_text(), files[2].read_text()):
        assert mean in text
        assert "run-to-run standard deviation" in " ".join(text.split())


def test_nothing_can_be_required_of_an_arm_alone(tmp_path, told):
    folder = write_sweep(tmp_path / "alone", {"baseline": 0.0}, n_seeds=3, sizes=(60, 30, 15))
    code, _, err = told(folder, "--require", "focal:keep")
    assert code == 2
    assert "must name one of the arms compared, of which there is none, got 'focal'" in err


def test_judging_leaves_the_sweeps_folder_as_it_was(sweep, told):
    def hashes():
        return {path: hashlib.sha256(path.read_bytes()).digest() for path in sweep.rglob("*") if path.is_file()}

    before = hashes()
    told(sweep)
    assert hashes() == before
