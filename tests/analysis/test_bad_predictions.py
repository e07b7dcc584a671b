"""What bad predictions get from the judge: one line that names them, or, where going on is right, a remark."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import significance
from analysis.predictions import Predictions, write_predictions

CLASSES = ("acne", "eczema", "wart")
LABEL = np.repeat([0, 1, 2], [8, 5, 3]).astype(np.int16)
IDS = np.array([f"x{j:02d}" for j in range(len(LABEL))])
ROW_2 = "; 1 of 16 rows break this, the first is row 2"
ROW_4 = "; 1 of 4 rows break this, the first is row 4"


def logits(seed):
    return (np.random.default_rng(seed).normal(size=(len(LABEL), 3)) + 2 * np.eye(3)[LABEL]).astype(np.float32)


def table(seed, **columns):
    """A prediction file of another trainer, with columns changed, or left out where None."""
    p = np.exp(logits(seed).astype(float))
    whole = {"sample_id": IDS, "label": np.take(CLASSES, LABEL)}
    whole |= {f"prob_{name}": p[:, k] / p.sum(axis=1) for k, name in enumerate(CLASSES)}
    return pd.DataFrame({name: values for name, values in {**whole, **columns}.items() if values is not None})


def second(column, value):
    """The column of the file with seed 3, its second row changed."""
    first, _, *others = table(3)[column]
    return {column: [first, value, *others]}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index of two arms with two seeds, in the working directory."""
    monkeypatch.chdir(tmp_path)
    runs = [(arm, seed) for arm in ("baseline", "focal") for seed in (0, 1)]
    for arm, seed in runs:
        table(seed + 2 * (arm == "focal")).to_csv(f"{arm}-{seed}.csv", index=False)
    lines = [f"{arm},{seed},{arm}-{seed}.csv" for arm, seed in runs]
    Path("index.csv").write_text("\n".join(["arm,seed,path", *lines, ""]))
    return Path("index.csv")


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A finished sweep of two arms and three seeds, below the working directory."""
    monkeypatch.chdir(tmp_path)
    trials = [
        {"trial_id": f"{arm}-{seed}", "arm": arm, "seed": seed}
        for seed in range(3)
        for arm in ("baseline", "focal")
    ]
    asked = {
        "format": 1,
        "sweep": "focal",
        "question": "Does it help?",
        "baseline": "baseline",
        "primary_metric": "balanced_accuracy",
        "guard_metrics": ["top1"],
        "margin": 0.006,
        "arms": [{"arm": "baseline", "levers": {"focal_gamma": 0}}, {"arm": "focal", "levers": {"focal_gamma": 2}}],
        "trials": trials,
    }
    for number, trial in enumerate(trials):
        folder = Path("runs/focal/trials") / trial["trial_id"]
        folder.mkdir(parents=True)
        file = folder / "test.parquet"
        write_predictions(
            file,
            Predictions(
                **trial,
                split="test",
                classes=CLASSES,
                sample_id=IDS,
                group_id=IDS,
                label=LABEL,
                logits=logits(number),
            ),
        )
        sealed = {"test.parquet": hashlib.sha256(file.read_bytes()).hexdigest()}
        (folder / "manifest.json").write_text(json.dumps({"format": 1, "status": "done", "files": sealed}))
    Path("runs/focal/sweep.json").write_text(json.dumps(asked))
    return Path("runs/focal")


@pytest.fixture
def refused(capsys):
    """Calls the judge's door and gives the one line with which it refuses, after nothing was written."""

    def line(path, *arguments):
        before = sorted(Path().rglob("*"))
        try:
            code = significance.main([str(path), "--resamples", "200", *arguments])
        except SystemExit as stop:  # argparse ends the process itself
            code = stop.code
        said = capsys.readouterr()
        assert (code, said.err.count("\n"), said.out) == (2, 1, ""), said.err
        assert said.err.startswith("dermtune-significance: ")
        assert sorted(Path().rglob("*")) == before
        return said.err

    return line


@pytest.fixture
def judged(capsys):
    """Calls the judge's door, which goes on, and gives what the terminal and the JSON report say."""

    def report(path, *arguments):
        assert significance.main([str(path), "--resamples", "200", "--json", "report.json", *arguments]) == 0
        said = capsys.readouterr()
        assert not said.err
        return " ".join(said.out.split()), json.loads(Path("report.json").read_text())

    return report


def test_the_unbroken_index_is_judged_without_a_remark(index, judged):
    _, report = judged(index)
    assert [arm["n_seeds"] for arm in report["arms"]] == [2, 2]
    assert report["problems"] == []


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (second("sample_id", "x00"), "sample_id must be unique" + ROW_2 + " ('x00')"),
        (second("sample_id", "y"), "must have the same images as baseline-0.csv; 1 missing, the first 'x01'"),
        (second("label", "wart"), "label must be that of baseline-0.csv; 1 images differ, the first is 'x01': "),
        (second("label", "mole"), "label must be a class (acne, eczema, wart)" + ROW_2),
        (second("label", ""), "label must not be empty" + ROW_2 + " ('x01')"),
        ({"label": None, "dx": "acne"}, "must have the column 'label', it has sample_id, prob_acne, prob_eczema"),
        ({"prob_mole": 0.0}, "must have the classes of baseline-0.csv (acne, eczema, wart), got acne,"),
        (second("prob_acne", -0.1), "probabilities must be >= 0" + ROW_2 + " ('x01')"),
        (second("prob_acne", 1.5), "probabilities must sum to 1 within 0.001" + ROW_2),
        (second("prob_acne", "nan"), "prob_<class> must be finite numbers" + ROW_2),
    ],
    ids=[
        "doubled", "missing", "other labels", "no class", "no label", "no label column", "other classes",
        "negative", "no sum of one", "NaN",
    ],
)  # fmt: skip
def test_predictions_that_cannot_be_compared_are_named_by_file_and_row(index, refused, columns, told):
    table(3, **columns).to_csv("focal-1.csv", index=False)
    said = refused(index)
    assert said.startswith("dermtune-significance: focal-1.csv: ")
    assert told in said


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a\nb,c\nd,e,f\n"], ids=["0 bytes", "bytes", "ragged"])
@pytest.mark.parametrize("file", ["focal-1.csv", "index.csv"])
def test_a_file_that_is_no_table_is_named(index, refused, file, content):
    Path(file).write_bytes(content)
    assert refused(index).startswith(f"dermtune-significance: {file}: must ")


@pytest.mark.parametrize(
    "damage",
    [lambda whole: b"", lambda whole: whole[:-20], lambda whole: whole[:60] + bytes(340) + whole[400:]],
    ids=["0 bytes", "truncated", "overwritten"],
)
def test_a_damaged_parquet_file_is_named(index, refused, damage):
    file = Path("focal-1.parquet")
    table(3).to_parquet(file)
    file.write_bytes(damage(file.read_bytes()))
    index.write_text(index.read_text().replace("focal-1.csv", "focal-1.parquet"))
    assert "focal-1.parquet: must be a readable Parquet or CSV file: " in refused(index)


@pytest.mark.parametrize(
    ("there", "instead", "told"),
    [
        ("arm,seed,path", "arm,path", "an index must have the columns arm, seed, path, 'seed' is missing"),
        ("focal,1,", "focal,0,", "arm and seed must be unique" + ROW_4 + " ('focal · seed 0')"),
        ("focal,1,", "focal,one,", "seed must be a whole number" + ROW_4 + " ('one')"),
        ("focal-1.csv", "gone.csv", "path must name a file" + ROW_4 + " ('gone.csv')"),
    ],
)  # fmt: skip
def test_a_faulty_index_is_told_by_row(index, refused, there, instead, told):
    index.write_text(index.read_text().replace(there, instead))
    said = refused(index)
    assert said.startswith("dermtune-significance: index.csv: ")
    assert told in said


@pytest.mark.parametrize(
    ("path", "got"), [("gone", "nothing"), (".", "a folder without sweep.json"), ("notes.txt", "another file")]
)
def test_a_path_that_cannot_be_judged_is_told_for_what_it_is(index, refused, path, got):
    Path("notes.txt").touch()
    assert refused(path) == (
        f"dermtune-significance: {path} must be a sweep's folder (with sweep.json) or an index CSV "
        f"(arm, seed, path), got {got}\n"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--metric", "recall:mole"], "recall must be of a class of the data, got 'mole'; the classes are acne,"),
        (["--metric", "accuracy"], "metric must be one of top1, top3, balanced_accuracy, macro_f1, ece, nll, "),
        (["--metric", ""], "recall:<class> or over_prediction:<class>, got ''"),
        (["--baseline", "focus"], "baseline must be one of the arms baseline, focal, got 'focus'"),
        (["--baseline", ""], "baseline must be one of the arms baseline, focal, got ''"),
        (["--require", "focus:keep"], "--require must name one of the arms focal, got 'focus'"),
        (["--require", "focal:good"], "must be ARM:VERDICT, the verdict one of keep, reject, inconclusive, got"),
        (["--margin", "-1"], "margin must be >= 0, got -1.0"),
        (["--margin", "inf"], "margin must be finite, got inf"),
        (["--run-sd", "0"], "run_sd must be > 0, got 0.0"),
        (["--seed", "-1"], "seed must be >= 0, got -1"),
        (["--resamples", "9999999999"], "resamples must be at most 1,000,000, got 9999999999"),
        (["--resamples", "many"], "argument --resamples: invalid int value: 'many'"),
        (["--estimand", "all"], "argument --estimand: invalid choice: 'all'"),
        (["--json", "index.csv/report.json"], "index.csv must be a file that can be written, got: "),
        (["--html", "folder"], "folder must be a file that can be written, got: Is a directory"),
        (["--markdown", ""], "argument --markdown: must name a file, got ''"),
        (["--seeds", "3"], "unrecognized arguments: --seeds 3"),
    ],
)  # fmt: skip
def test_a_wish_that_cannot_be_met_is_answered_with_what_can(index, refused, arguments, told):
    Path("folder").mkdir()
    assert told in refused(index, *arguments)


def test_a_class_that_no_test_image_shows_is_left_out_and_said_but_has_no_recall(index, judged, refused):
    for path in Path().glob("*-?.csv"):
        predictions = pd.read_csv(path)
        predictions.assign(prob_mole=0.0).to_csv(path, index=False)
    told, report = judged(index)
    assert "1 class has no test image and is left out of the means over classes: mole" in told
    assert report["problems"] == ["1 class has no test image and is left out of the means over classes: mole"]
    assert "recall must be of a class with test images, 'mole' has none" in refused(
        index, "--metric", "recall:mole"
    )


def test_unequal_seeds_are_judged_as_what_they_are_and_said(index, judged):
    index.write_text(index.read_text() + "baseline,7,focal-0.csv\n")
    told, report = judged(index)
    assert "the arms' seeds differ: focal lacks 7" in told
    assert [arm["n_seeds"] for arm in report["arms"]] == [3, 2]


def test_a_failed_and_a_missing_trial_of_a_sweep_are_named_and_the_rest_is_judged(sweep, judged):
    failed, missing = sweep / "trials/focal-1", sweep / "trials/baseline-2"
    for folder in (failed, missing):
        (folder / "manifest.json").unlink()
    (failed / "failure.json").write_text('{"status": "diverged", "reason": "loss is nan in epoch 2"}')
    told, report = judged(sweep)
    assert "1 of 6 runs is diverged: focal · seed 1 (loss is nan in epoch 2)" in told
    assert "1 of 6 runs is missing: baseline · seed 2" in told
    assert "the arms' seeds differ: baseline lacks 2; focal lacks 1" in told
    assert [arm["n_seeds"] for arm in report["arms"]] == [2, 2]


def test_predictions_that_were_altered_after_the_trial_are_set_aside_and_said(sweep, judged):
    file = sweep / "trials/focal-1/test.parquet"
    file.write_bytes(file.read_bytes()[:-10])
    told, report = judged(sweep)
    assert "1 of 6 runs is damaged: focal · seed 1 (" in told
    assert "test.parquet has not the hash that its manifest says" in told
    assert [arm["n_seeds"] for arm in report["arms"]] == [3, 2]


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"format": 2}'], ids=["cut off", "no object", "nothing in it", "another format"]
)
def test_a_damaged_sweep_json_is_named(sweep, refused, content):
    (sweep / "sweep.json").write_text(content)
    assert refused(sweep).startswith("dermtune-significance: runs/focal/sweep.json")


def test_a_sweep_without_any_finished_run_says_what_is_missing(sweep, refused):
    for manifest in sweep.rglob("manifest.json"):
        manifest.unlink()
    assert "focal must have at least one finished run: 6 of 6 runs are missing: baseline · seed 0" in refused(
        "runs/focal"
    )
