"""The door `python -m analysis.significance`, on a sweep as large as a real one whose truth is known."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import significance
from tests.finished_sweep import write_sweep

ROOT = Path(__file__).parents[1]
GAINS = {
    "baseline": 0.0,
    "focal_gamma=1": 0.1,
    "focal_gamma=2": 0.6,
    "focal_gamma=3": 0.0,
    "label_smoothing=0.1": 0.05,
    "focal_gamma=1+label_smoothing=0.1": 0.0,
    "focal_gamma=2+label_smoothing=0.1": -0.1,
    "focal_gamma=3+label_smoothing=0.1": -0.6,
}
"""What each arm adds to the logit of the true class: the truth that the verdicts are about."""
KINDS = ("json", "html", "markdown")
FEW = ("--resamples", "200")
"""A tenth of a second: for what does not hang on the interval's last digit."""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("runs") / "focal_ls-laptop", GAINS)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The baseline and an arm that is better, one seed each."""
    gains = {arm: GAINS[arm] for arm in ("baseline", "focal_gamma=2")}
    return write_sweep(tmp_path_factory.mktemp("runs") / "pair-laptop", gains, seeds=(0,))


@pytest.fixture
def judge(tmp_path, capsys):
    """Runs the door; the JSON report that it wrote."""

    def run(path, *options):
        file = tmp_path / "report.json"
        assert significance.main([str(path), "--json", str(file), *options]) == 0
        capsys.readouterr()
        return json.loads(file.read_text())

    return run


def files_in(folder):
    """The options that write all three files into a folder."""
    return [part for kind in KINDS for part in (f"--{kind}", str(folder / f"r.{kind}"))]


def verdicts(report):
    return {comparison["arm"]: comparison["verdict"] for comparison in report["comparisons"]}


def test_a_real_gain_is_kept_a_real_loss_rejected_and_nothing_else_decided(sweep, judge):
    found = verdicts(judge(sweep))
    assert found.pop("focal_gamma=2") == "keep"
    assert found.pop("focal_gamma=3+label_smoothing=0.1") == "reject"
    assert set(found.values()) == {"inconclusive"}


def test_the_terminal_says_the_answer_and_a_row_an_arm(sweep, capsys):
    assert significance.main([str(sweep), *FEW]) == 0
    out, err = capsys.readouterr()
    assert "Keep focal_gamma=2 (+" in out
    assert "1,512 test images of 1,261 groups, 7 classes, 200 resamples" in out.replace("\n", " ")
    assert sum(re.match(r"\S+ +5 +\d\d\.\d\d", line) is not None for line in out.splitlines()) == len(GAINS)
    assert err == ""


def test_the_other_baseline_turns_the_delta_round(sweep, judge):
    there = judge(sweep, *FEW)["comparisons"]
    back = judge(sweep, "--baseline", "focal_gamma=2", *FEW)
    delta = {comparison["arm"]: comparison["delta"] for comparison in there}["focal_gamma=2"]
    assert back["baseline"] == "focal_gamma=2"
    assert {c["arm"]: c["delta"] for c in back["comparisons"]}["baseline"] == pytest.approx(-delta)


@pytest.mark.parametrize("metric", ["top1", "top3", "macro_f1", "ece", "nll"])
def test_a_metric_is_the_one_that_each_arm_is_listed_with(pair, judge, metric):
    report = judge(pair, "--metric", metric, *FEW)
    assert report["metric"] == metric
    assert [arm["mean"] for arm in report["arms"]] == pytest.approx([arm[metric] for arm in report["arms"]])


def test_the_recall_of_a_class_is_a_metric(pair, judge):
    report = judge(pair, "--metric", "recall:class 6", *FEW)
    for arm in report["arms"]:
        (of_class,) = [score["recall"] for score in arm["classes"] if score["name"] == "class 6"]
        assert arm["mean"] == pytest.approx(of_class)


def test_a_wider_margin_rejects_what_could_not_be_decided(sweep, judge):
    report = judge(sweep, "--margin", "0.2", *FEW)
    assert report["margin"] == 0.2
    assert verdicts(report)["focal_gamma=1+label_smoothing=0.1"] == "reject"


def test_the_margin_decides_whether_a_gain_is_practical_or_small(sweep, judge):
    found = [judge(sweep, "--margin", margin, *FEW)["comparisons"][1] for margin in ("0", "0.9")]
    assert [(c["verdict"], c["label"]) for c in found] == [("keep", "practical"), ("keep", "small")]


def test_where_less_is_better_a_fall_is_kept(sweep, judge):
    (found,) = (c for c in judge(sweep, "--metric", "nll", *FEW)["comparisons"] if c["arm"] == "focal_gamma=2")
    assert found["verdict"] == "keep"
    assert found["ci_high_simultaneous"] < 0


def test_the_estimand_decides_which_variances_count(sweep, judge):
    both, seeds, images = (judge(sweep, "--estimand", e, *FEW)["comparisons"] for e in ("both", "seeds", "images"))
    for one, other, third in zip(both, seeds, images, strict=True):
        assert other["se"] ** 2 == pytest.approx(one["v_seed"])
        assert third["se"] ** 2 == pytest.approx(one["v_img"])
        assert one["se"] ** 2 == pytest.approx(one["v_seed"] + max(0, one["v_img"] - one["v_res"]))


@pytest.mark.parametrize(
    ("estimand", "population"),
    [
        ("both", "new seeds and new images"),
        ("seeds", "new seeds on this test set"),
        ("images", "these checkpoints on new images"),
    ],
)
def test_the_report_says_what_its_intervals_speak_for(pair, capsys, estimand, population):
    significance.main([str(pair), "--estimand", estimand, *FEW])
    assert f"speak for {population}." in " ".join(capsys.readouterr().out.split())


def test_another_seed_draws_other_resamples_of_the_same_data(pair, judge):
    one, other = (judge(pair, "--seed", seed, *FEW)["comparisons"][0] for seed in ("0", "1"))
    assert one["delta"] == other["delta"]
    assert one["ci_low"] != other["ci_low"]


def test_resamples_are_as_many_as_asked_for(pair, judge):
    assert judge(pair)["n_resamples"] == 10_000
    assert judge(pair, *FEW)["n_resamples"] == 200


def test_more_resamples_resolve_smaller_p_values(sweep, judge):
    for n in (200, 400):
        loss = judge(sweep, "--resamples", str(n))["comparisons"][-1]
        assert (loss["label"], loss["p_value"]) == ("worse", 1 / (n + 1))


def test_with_one_seed_an_arm_the_assumed_noise_decides(pair, judge):
    calm, wild = (judge(pair, "--run-sd", sd, *FEW) for sd in ("0.0001", "0.5"))
    assert verdicts(calm) == {"focal_gamma=2": "keep"}
    assert verdicts(wild) == {"focal_gamma=2": "inconclusive"}
    assert wild["run_sd"] == 0.5
    assert wild["comparisons"][0]["v_seed"] == pytest.approx(2 * 0.5**2)
    assert "assumed" in wild["comparisons"][0]["reason"]


def test_the_assumed_noise_does_not_count_where_it_was_measured(sweep, judge):
    calm, wild = (judge(sweep, "--run-sd", sd, *FEW) for sd in ("0.0001", "0.5"))
    assert calm["comparisons"] == wild["comparisons"]


def test_page_markdown_and_json_are_written_where_asked_for_and_their_folders_made(pair, tmp_path, capsys):
    new = tmp_path / "new" / "folder"
    assert significance.main([str(pair), *files_in(new), *FEW]) == 0
    assert json.loads((new / "r.json").read_text())["name"] == "focal_ls"
    assert (new / "r.html").read_text().startswith("<!doctype html>")
    assert (new / "r.markdown").read_text().startswith("# focal_ls\n")
    assert len(list(new.iterdir())) == 3


def test_the_report_has_the_command_that_makes_it_anew(pair, judge, monkeypatch):
    report = judge(pair, "--metric", "top1", "--quick", "--require", "focal_gamma=2:keep", *FEW)
    command = report["provenance"]["command"]
    assert command == "python -m analysis.significance pair-laptop --metric top1 --resamples 200 --quick"
    monkeypatch.chdir(pair.parent)
    assert judge(*command.split()[3:]) == report


def test_the_summary_is_a_row_an_arm_instead_of_the_whole_report(sweep, capsys):
    assert significance.main([str(sweep), "--summary", *FEW]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^config +top-1 +top-3 ", out, re.MULTILINE)
    assert "How much is chance?" not in out
    assert "focal_gamma=2" in out


def test_a_requirement_that_holds_passes(sweep, capsys):
    required = ("--require", "focal_gamma=2:keep", "--require", "focal_gamma=3+label_smoothing=0.1:reject")
    assert significance.main([str(sweep), *required, *FEW]) == 0
    assert capsys.readouterr().err == ""


def test_a_requirement_that_does_not_hold_fails_after_the_report_and_says_what_came(sweep, tmp_path, capsys):
    required = ("--require", "focal_gamma=2:keep", "--require", "focal_gamma=1:keep")
    assert significance.main([str(sweep), *required, "--json", str(tmp_path / "r.json"), *FEW]) == 1
    out, err = capsys.readouterr()
    assert err == "--require focal_gamma=1:keep does not hold: the verdict is inconclusive\n"
    assert "Keep focal_gamma=2" in out
    assert (tmp_path / "r.json").is_file()


def test_an_arm_whose_name_has_a_colon_can_be_required(tmp_path):
    folder = write_sweep(tmp_path / "colon-laptop", {"baseline": 0.0, "loss:focal": 0.6}, seeds=(0,))
    assert significance.main([str(folder), "--require", "loss:focal:keep", *FEW]) == 0
    assert significance.main([str(folder), "--require", "loss:focal:reject", *FEW]) == 1


def test_judging_leaves_the_sweeps_folder_as_it_was(pair, judge):
    def hashes():
        return {path: hashlib.sha256(path.read_bytes()).digest() for path in pair.rglob("*") if path.is_file()}

    before = hashes()
    judge(pair, *FEW)
    assert hashes() == before


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "nought\0", "a\u2028b"])
def test_an_arm_that_would_break_a_line_a_terminal_or_a_drawing_is_refused(tmp_path, capsys, name):
    (tmp_path / "sweep.json").write_text(
        json.dumps(
            {
                "format": 1, "sweep": "odd", "baseline": "baseline", "primary_metric": "top1", "guard_metrics": [],
                "margin": 0.006, "arms": [{"arm": name, "levers": {}}], "trials": [],
            }
        )
    )  # fmt: skip
    assert significance.main([str(tmp_path)]) == 2
    said = f"odd: an arm's name must be one line without control characters, got {name!r}"
    assert capsys.readouterr().err == f"dermtune-significance: {said}\n"


def test_a_class_that_would_break_a_line_is_refused(tmp_path, capsys):
    (tmp_path / "a.csv").write_text(
        'sample_id,label,prob_a,"prob_b\nc"\n' + "".join(f"{i},a,.7,.3\n" for i in range(9))
    )
    (tmp_path / "index.csv").write_text("arm,seed,path\nbaseline,0,a.csv\n")
    assert significance.main([str(tmp_path / "index.csv")]) == 2
    said = "a.csv: a class's name must be one line without control characters, got 'b\\nc'\n"
    assert capsys.readouterr().err.endswith(said)


def test_an_arm_alone_is_reported_in_every_output(tmp_path, capsys):
    alone = write_sweep(tmp_path / "repeat_baseline-laptop", {"baseline": 0.0})
    assert significance.main([str(alone), *files_in(tmp_path), *FEW]) == 0
    mean = json.loads((tmp_path / "r.json").read_text())["arms"][0]["mean"]
    said = f"baseline alone: balanced accuracy {100 * mean:.2f}"
    assert said in capsys.readouterr().out
    for kind in ("html", "markdown"):
        assert said in (tmp_path / f"r.{kind}").read_text()


def test_an_arm_alone_has_no_verdict_that_could_be_required(tmp_path, capsys):
    alone = write_sweep(tmp_path / "repeat_baseline-laptop", {"baseline": 0.0}, seeds=(0, 1))
    assert significance.main([str(alone), "--require", "baseline:keep", *FEW]) == 2
    assert "compared, of which there is none, got 'baseline'" in capsys.readouterr().err


def test_the_same_input_gives_the_same_bytes_wherever_it_lies(pair, tmp_path):
    """Another process, another hash seed, another folder: JSON, page and Markdown do not change by a byte."""
    written = []
    for hash_seed in ("1", "2"):
        place = tmp_path / hash_seed
        shutil.copytree(pair, place / "runs")
        subprocess.run(
            [sys.executable, "-m", "analysis.significance", "runs", *files_in(Path()), *FEW],
            cwd=place, check=True, capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        written.append([(place / f"r.{kind}").read_bytes() for kind in KINDS])
    assert written[0] == written[1]


def test_the_docs_example_of_foreign_files_is_judged_by_the_docs_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "predictions-format.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (command,) = re.findall(r"^python -m analysis\.significance (\S+)$", page, re.MULTILINE)
    exec(compile(example, "predictions-format.md", "exec"), {})
    assert significance.main([command, "--html", "r.html", "--require", "focal:keep", *FEW]) == 0
    out = capsys.readouterr().out
    assert "90 test images of 45 groups, 3 classes" in out.replace("\n", " ")
    assert "Keep focal (+" in out


@pytest.fixture
def help_text(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as leaving:
        significance.main(["--help"])
    assert leaving.value.code == 0
    return capsys.readouterr().out


def test_the_help_fits_a_terminal(help_text):
    assert max(map(len, help_text.splitlines())) <= 80


def test_the_help_has_every_option(help_text):
    options = (
        "--baseline --metric --margin --estimand --resamples --seed --run-sd "
        "--labels --answer-risk --top3-risk --quick --summary --json --html --markdown --write-recipe --require"
    )
    assert re.findall(r"^  (--[\w-]+)", help_text, re.MULTILINE) == options.split()


def test_the_help_teaches_path_verdicts_and_exit_codes(help_text):
    for taught in (
        "a sweep's folder",
        "arm, seed, path",
        "docs/predictions-format.md",
        "exit codes: 0",
        "1 a --require",
    ):
        assert taught in help_text
    for word in ("keep", "reject", "inconclusive", "both", "seeds", "images"):
        assert re.search(rf"^  {word} {{3,}}\S", help_text, re.MULTILINE)


def test_the_examples_of_the_help_are_commands_that_the_door_takes(help_text):
    examples = help_text.partition("\nexamples:\n")[2].partition("\nexit codes")[0].replace("\\\n", " ")
    commands = re.findall(r"^  python -m analysis\.significance (.*)$", examples, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        assert significance._parser().parse_args(command.split()).path.name
