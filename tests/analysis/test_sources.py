import hashlib
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.comparison import compare
from analysis.interim import at_look
from analysis.predictions import Predictions, write_predictions
from analysis.sources import load_study
from analysis.study import SourceError

DOCS = Path(__file__).parents[2] / "docs"
CLASSES = ("nevus", "melanoma", "naevus blu")
LABEL = np.repeat([0, 1, 2], [8, 5, 3]).astype(np.int16)
IDS = np.array([f"img{j:02d}" for j in range(len(LABEL))])


def predictions(arm, seed, **changes):
    rng = np.random.default_rng([seed, len(arm)])
    fields = {
        "arm": arm,
        "seed": seed,
        "split": "test",
        "trial_id": f"{arm}-{seed}",
        "classes": CLASSES,
        "sample_id": IDS,
        "group_id": IDS,
        "label": LABEL,
        "logits": (rng.normal(size=(len(LABEL), 3)) + np.eye(3)[LABEL]).astype(np.float32),
    }
    return Predictions(**{**fields, **changes})


def write_trial(folder, drawn, **manifest):
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / "test.parquet", drawn)
    sealed = hashlib.sha256((folder / "test.parquet").read_bytes()).hexdigest()
    known = {
        "commit": "abc",
        "device": "cpu",
        "seconds": 1800.0,
        "fingerprints": {"data": "f00"},
        "versions": {"torch": "2"},
    }
    content = {"format": 1, "status": "done", "files": {"test.parquet": sealed}, **known, **manifest}
    (folder / "manifest.json").write_text(json.dumps(content))


@pytest.fixture
def sweep(tmp_path):
    """A finished sweep of two arms and three seeds."""
    trials = [
        {"trial_id": f"{arm}-{seed}", "arm": arm, "seed": seed}
        for seed in range(3)
        for arm in ("baseline", "focal")
    ]
    asked = {
        "format": 1,
        "sweep": "focal_ls",
        "question": "Does it help?",
        "recipe": "laptop",
        "baseline": "baseline",
        "primary_metric": "balanced_accuracy",
        "guard_metrics": ["top1"],
        "margin": 0.006,
        "seeds": [0, 1, 2],
        "arms": [{"arm": "baseline", "levers": {"focal_gamma": 0}}, {"arm": "focal", "levers": {"focal_gamma": 2}}],
        "trials": trials,
    }
    (tmp_path / "sweep.json").write_text(json.dumps(asked))
    for trial in trials:
        write_trial(tmp_path / "trials" / trial["trial_id"], predictions(trial["arm"], trial["seed"]))
    return tmp_path


def test_a_sweeps_folder_is_read_whole(sweep):
    study = load_study(sweep)
    assert [(arm.name, len(arm.runs)) for arm in study.arms] == [("baseline", 3), ("focal", 3)]
    assert study.problems == ()
    assert study.provenance == {
        "commit": "abc", "data_fingerprint": "f00", "versions": {"torch": "2"}, "device": "cpu", "hours": 3.0
    }  # fmt: skip
    report = compare(study, n_resamples=500)
    assert (report.name, report.question, report.n_images, report.arms[1].levers) == (
        "focal_ls", "Does it help?", 16, {"focal_gamma": 2}
    )  # fmt: skip


def test_what_all_attempts_cost_is_told_those_of_trials_without_a_result_too(sweep):
    attempt = {"seconds": 1800, "kept_seconds": 0, "gpus": 2.0, "usd_per_hour": 3.0, "ended": "diverged"}
    diverged = sweep / "trials" / "focal-1"
    (diverged / "manifest.json").unlink()
    (diverged / "attempts.json").write_text(json.dumps({"attempts": [attempt]}))
    study = load_study(sweep)
    assert study.provenance["hours"] == 2.5, "what the runs that are judged took"
    assert study.provenance["spent"] == {
        "attempts": 6, "hours": 3.5, "cost_usd": 3.0, "lost_hours": 1.0, "lost_cost_usd": 3.0
    }  # fmt: skip
    (diverged / "attempts.json").write_text("torn")
    study = load_study(sweep)
    assert "spent" not in study.provenance
    assert any(problem.startswith("what the sweep has cost is not known: ") for problem in study.problems)


def test_only_trials_that_the_sweep_lists_count(sweep):
    write_trial(sweep / "trials" / "stray", predictions("focal", 9))
    assert len(load_study(sweep).arms[1].runs) == 3


def test_runs_that_cannot_be_used_are_counted_and_named(sweep):
    trials = sweep / "trials"
    (trials / "focal-0" / "manifest.json").unlink()
    (trials / "focal-1" / "manifest.json").unlink()
    failure = {"status": "diverged", "reason": "the loss is not finite"}
    (trials / "focal-1" / "failure.json").write_text(json.dumps(failure))
    with (trials / "baseline-2" / "test.parquet").open("ab") as file:
        file.write(b"more")
    missing, diverged, damaged, seeds = load_study(sweep).problems
    assert missing == "1 of 6 runs is missing: focal · seed 0"
    assert diverged == "1 of 6 runs is diverged: focal · seed 1 (the loss is not finite)"
    assert re.fullmatch(
        r"1 of 6 runs is damaged: baseline · seed 2 \(.* has not the hash that its manifest says\)", damaged
    )
    assert seeds == "the arms' seeds differ: baseline lacks 2; focal lacks 0, 1"


def test_a_done_run_counts_under_the_name_that_its_arm_has_now(sweep):
    """A search that picks anew may give the same levers another place; their trials are done, and not run again."""
    text = (sweep / "sweep.json").read_text()
    (sweep / "sweep.json").write_text(text.replace('"arm": "focal"', '"arm": "pick-2"'))
    study = load_study(sweep)
    assert [(arm.name, len(arm.runs)) for arm in study.arms] == [("baseline", 3), ("pick-2", 3)]
    assert study.problems == ()


def test_a_file_of_another_run_is_damage_even_where_arm_and_seed_agree(sweep):
    write_trial(sweep / "trials" / "focal-0", predictions("focal", 0, trial_id="other"))
    damaged, _ = load_study(sweep).problems
    assert re.fullmatch(r"1 of 6 runs is damaged: focal · seed 0 \(.* is of trial other, focal · seed 0\)", damaged)


def with_looks(sweep, **looks):
    asked = json.loads((sweep / "sweep.json").read_text())
    (sweep / "sweep.json").write_text(json.dumps({**asked, **looks}))
    return sweep


def test_a_sweep_json_from_before_there_were_looks_declares_none(sweep):
    question = load_study(sweep).question
    assert (question.looks, question.looks_taken, question.seeds) == ((), (), (0, 1, 2))


def test_looks_and_the_order_of_the_seeds_are_the_sweeps(sweep):
    asked = json.loads((sweep / "sweep.json").read_text())
    trials = sorted(asked["trials"], key=lambda trial: (-trial["seed"], trial["arm"]))
    question = load_study(with_looks(sweep, looks=[2, 3], looks_taken=[2], trials=trials)).question
    assert (question.looks, question.looks_taken, question.seeds) == ((2, 3), (2,), (2, 1, 0))


@pytest.mark.parametrize("key", ["looks", "looks_taken"])
@pytest.mark.parametrize("looks", [[5, 3], [3, 3], [0], ["few"], 3])
def test_looks_that_are_no_ascending_numbers_of_seeds_are_named(sweep, key, looks):
    with pytest.raises(SourceError, match=r"sweep\.json: must be a sweep\.json of format 1, this does not fit: "):
        load_study(with_looks(sweep, **{key: looks}))


def test_a_look_waits_for_a_missing_run_and_not_for_a_damaged_one(sweep):
    with_looks(sweep, looks=[2, 3])
    (sweep / "trials" / "focal-2" / "manifest.json").unlink()
    with (sweep / "trials" / "baseline-1" / "test.parquet").open("ab") as file:
        file.write(b"more")
    study = load_study(sweep)
    assert [(run.arm, run.seed, run.state) for run in study.set_aside] == [
        ("baseline", 1, "damaged"),
        ("focal", 2, "missing"),
    ]
    looked = at_look(study)
    assert (looked.look.number, looked.look.n_seeds, looked.look.later) == (1, 2, (3,))
    assert [[run.seed for run in arm.runs] for arm in looked.study.arms] == [[0], [0, 1]]


def test_an_arm_without_a_run_is_left_out_and_said(sweep):
    for seed in range(3):
        (sweep / "trials" / f"focal-{seed}" / "manifest.json").unlink()
    study = load_study(sweep)
    assert [arm.name for arm in study.arms] == ["baseline"]
    assert "arm focal has no finished run and is left out" in study.problems


def test_a_sweep_with_nothing_finished_is_refused(sweep):
    for manifest in sweep.glob("trials/*/manifest.json"):
        manifest.unlink()
    with pytest.raises(SourceError, match="focal_ls must have at least one finished run: 6 of 6 runs are missing"):
        load_study(sweep)


def test_a_baseline_with_nothing_finished_is_refused_in_a_line(sweep):
    for manifest in sweep.glob("trials/baseline-*/manifest.json"):
        manifest.unlink()
    with pytest.raises(SourceError, match="the baseline must have a finished run: 3 of 6 runs are missing"):
        compare(load_study(sweep))


def test_runs_from_two_commits_are_said(sweep):
    write_trial(sweep / "trials" / "focal-0", predictions("focal", 0), commit="def")
    assert "the runs come from 2 commits: abc, def" in load_study(sweep).problems


def test_runs_of_other_numbers_of_processes_are_said_and_a_head_on_kept_features_is_of_no_other(sweep):
    write_trial(sweep / "trials" / "focal-0", predictions("focal", 0), processes=1, frozen_features="key")
    write_trial(sweep / "trials" / "focal-1", predictions("focal", 1), processes=1)
    assert load_study(sweep).problems == ()
    write_trial(sweep / "trials" / "focal-1", predictions("focal", 1), processes=4)
    [said] = load_study(sweep).problems
    assert said == "runs were trained by 1 and 4 processes each: they agree to rounding, not bit for bit"


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1, "sweep": "x"}'])
def test_a_sweep_json_that_is_none_is_named(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(SourceError, match=r"sweep\.json"):
        load_study(tmp_path)


def test_what_is_neither_a_sweep_nor_an_index_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"must be a sweep's folder .* got a folder without sweep.json"):
        load_study(tmp_path)
    with pytest.raises(SourceError, match="got nothing"):
        load_study(tmp_path / "absent")


def test_a_sweep_with_its_first_stage_alone_is_told_apart_from_a_folder_that_is_none(tmp_path):
    (tmp_path / "first.json").touch()
    with pytest.raises(SourceError, match=r"first stage has not ended, and no arm is picked yet, so there is noth"):
        load_study(tmp_path)
    (tmp_path / "selection.json").touch()
    with pytest.raises(
        SourceError, match=r"has picked the arms, .* nothing to judge; the sweep's own command goes"
    ):
        load_study(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sample_id": np.where(IDS == "img03", "other", IDS)},
            r"must have the same images as .*; 1 missing, the first 'img03'; 1 not in the other, the first 'other'",
        ),
        (
            {"label": np.where(np.arange(16) < 2, 1, LABEL).astype(np.int16)},
            r"label must be that of .*; 2 images differ, the first is 'img00': 'melanoma' here, 'nevus' there",
        ),
        ({"classes": ("nevus", "melanoma", "wart")}, r"must have the classes of .* got nevus, melanoma, wart"),
        ({"group_id": np.full(16, "g")}, r"group_id must be that of .*; 16 images differ"),
    ],
)
def test_files_that_differ_where_they_must_not_are_refused(sweep, changes, message):
    write_trial(sweep / "trials" / "focal-2", predictions("focal", 2, **changes))
    with pytest.raises(SourceError, match=message):
        load_study(sweep)


def test_the_order_of_rows_and_of_classes_changes_nothing(sweep):
    before = compare(load_study(sweep), n_resamples=500)
    for arm, seed in (("baseline", 1), ("focal", 2)):
        whole = predictions(arm, seed)
        rows, place = np.random.default_rng(seed).permutation(16), [2, 0, 1]
        mixed = predictions(
            arm,
            seed,
            classes=tuple(CLASSES[k] for k in place),
            sample_id=whole.sample_id[rows],
            group_id=whole.group_id[rows],
            label=np.argsort(place)[whole.label[rows]].astype(np.int16),
            logits=whole.logits[rows][:, place],
        )
        write_trial(sweep / "trials" / f"{arm}-{seed}", mixed)
    after = compare(load_study(sweep), n_resamples=500)
    assert asdict(replace(after, calibration=())) == asdict(replace(before, calibration=()))
    for here, there in zip(
        after.calibration, before.calibration, strict=True
    ):  # a softmax sums in the classes' order
        assert [b.confidence for b in here.bins_before] == pytest.approx([b.confidence for b in there.bins_before])


def foreign(path, *, index="arm,seed,path\nbaseline,0,a.csv\nfocal,0,b.csv\n", **columns):
    """An index with two files, the second with these columns changed."""
    table = {
        "sample_id": ["x1", "x2", "x3", "x4"],
        "label": ["a", "a", "NA", "NA"],
        "prob_a": [0.7, 0.6, 0.2, 0.4],
        "prob_NA": [0.3, 0.4, 0.8, 0.6],
    }
    pd.DataFrame(table).to_csv(path / "a.csv", index=False)
    changed = {name: values for name, values in {**table, **columns}.items() if values is not None}
    pd.DataFrame(changed).to_csv(path / "b.csv", index=False)
    (path / "index.csv").write_text(index)
    return path / "index.csv"


def test_a_class_may_be_called_na(tmp_path):
    study = load_study(foreign(tmp_path))
    assert study.classes == ("a", "NA")
    assert study.label.tolist() == [0, 0, 1, 1]


def test_logits_and_parquet_are_taken_as_well(tmp_path):
    index = foreign(tmp_path)
    table = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    logits = np.log(table[["prob_a", "prob_NA"]]).rename(columns={"prob_a": "logit_a", "prob_NA": "logit_NA"}) + 3
    pd.concat([table[["sample_id", "label"]], logits], axis=1).to_parquet(tmp_path / "b.parquet")
    index.write_text("arm,seed,path\nbaseline,0,a.csv\nfocal,0,b.parquet\n")
    a, b = (arm.runs[0].outcome for arm in load_study(index).arms)
    assert b.confidence == pytest.approx(a.confidence)


def test_dermtunes_own_files_may_stand_in_an_index(sweep):
    (sweep / "index.csv").write_text(
        "arm,seed,path\nfocal,0,trials/focal-0/test.parquet\nbaseline,0,trials/baseline-0/test.parquet\n"
    )
    study = load_study(sweep / "index.csv")
    assert (study.question.name, study.question.baseline) == ("index", "baseline")


def test_a_class_without_images_is_left_out_and_said(tmp_path):
    index = foreign(tmp_path)
    for name in ("a.csv", "b.csv"):
        pd.read_csv(tmp_path / name, keep_default_na=False).assign(prob_wart=0.0).to_csv(
            tmp_path / name, index=False
        )
    study = load_study(index)
    assert study.problems == ("1 class has no test image and is left out of the means over classes: wart",)
    report = compare(study, n_resamples=500)
    assert report.arms[0].mean == 1.0
    assert set(report.comparisons[0].class_deltas) == {"a", "NA"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prob_a": [0.7, -0.1, 0.2, 0.4]}, r"b\.csv: probabilities must be >= 0; 1 of 4 rows .* row 2 \('x2'\)"),
        (
            {"prob_a": [0.7, 0.6, 0.5, 0.9]},
            r"probabilities must sum to 1 within 0.001; 2 of 4 rows .* row 3 \('x3'\)",
        ),
        ({"prob_a": [0.7, "", 0.2, "nan"]}, r"must be finite numbers; 2 of 4 rows .* row 2 \('x2'\)"),
        ({"label": ["a", "b", "NA", "NA"]}, r"label must be a class \(a, NA\); 1 of 4 rows .* row 2 \('b'\)"),
        ({"label": ["a", "", "NA", "NA"]}, r"label must not be empty; 1 of 4 rows .* row 2 \('x2'\)"),
        ({"label": None}, r"must have the column 'label', it has sample_id, prob_a, prob_NA"),
        ({"sample_id": ["x1", "x2", "x2", "x4"]}, r"sample_id must be unique; 1 of 4 rows .* row 3 \('x2'\)"),
        ({"sample_id": ["x1", "x2", "x3", "x5"]}, r"1 missing, the first 'x4'; 1 not in the other, the first 'x5'"),
        ({"prob_a": None, "prob_NA": None}, r"must have columns prob_<class> or logit_<class>, got the columns"),
        ({"logit_a": [0.0, 0.0, 0.0, 0.0]}, r"must have columns prob_<class> or logit_<class>, got both"),
        ({"group_id": ["g", "g", "", "h"]}, r"group_id must not be empty; 1 of 4 rows .* row 3 \('x3'\)"),
    ],
)
def test_a_foreign_file_that_cannot_be_judged_is_refused_by_row(tmp_path, columns, message):
    with pytest.raises(SourceError, match=message):
        load_study(foreign(tmp_path, **columns))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("arm,path\na,a.csv\n", "must have the columns arm, seed, path, 'seed' is missing"),
        ("arm,seed,path\n", "must name at least one file"),
        ("arm,seed,path\na,one,a.csv\n", r"seed must be a whole number; 1 of 1 rows .* row 1 \('one'\)"),
        ("arm,seed,path\na,0,a.csv\na,0,b.csv\n", r"arm and seed must be unique; .* row 2 \('a · seed 0'\)"),
        ("arm,seed,path\na,0,gone.csv\n", r"path must name a file; .* row 1 \('gone.csv'\)"),
        ("", "must be a readable CSV"),
    ],
)
def test_an_index_that_cannot_be_read_is_refused_by_row(tmp_path, index, message):
    with pytest.raises(SourceError, match=message):
        load_study(foreign(tmp_path, index=index))


def test_the_example_in_the_docs_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = re.search(r"```python\n(.*?)```", (DOCS / "predictions-format.md").read_text(), re.DOTALL)[1]
    exec(compile(example, "predictions-format.md", "exec"), {})
    report = compare(load_study(tmp_path / "predictions" / "index.csv"), n_resamples=500)
    assert [arm.n_seeds for arm in report.arms] == [3, 3]
    assert (report.n_images, report.n_groups) == (90, 45)
