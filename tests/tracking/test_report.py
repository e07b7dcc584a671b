"""What MLflow shows of a report: figures, verdicts and the chosen model, on the parent and on each trial."""

import io
import json
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageClassification

from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig
from dermtune.model import build_model
from dermtune.serving import save_classifier
from dermtune.tracking import Chosen, Exporter, views
from tests import plans
from tests.tracked_sweep import QUESTION, counted_rows, finish, planned, runs


def test_the_report_is_the_parents_description_metrics_and_artifacts(sweep, uri, tmp_path):
    the_plan, folder = sweep
    folder.report.mkdir(parents=True)
    (folder.report / "report.html").write_text("<p>keep</p>")
    (folder.report / "report.md").write_text(
        "| arm | verdict |\n|---|---|\n| focal_gamma=2 | keep |\n\n![](f.svg)\n"
    )
    comparison = {
        "arm": "focal_gamma=2",
        "delta": 0.011,
        "ci_low_simultaneous": 0.004,
        "ci_high_simultaneous": 0.018,
    }
    arms = [{"arm": "baseline", "mean": 0.66}, {"arm": "focal_gamma=2", "mean": 0.671}]
    report = {"metric": "balanced_accuracy", "arms": arms, "comparisons": [comparison]}
    (folder.report / "report.json").write_text(json.dumps(report))
    watching = Exporter(uri, the_plan, folder, QUESTION)
    watching.attach([folder.report])
    watching.close(interrupted=False)
    before = counted_rows(uri)
    again = Exporter(uri, the_plan, folder, QUESTION)
    again.attach([folder.report])
    again.close(interrupted=False)

    parent, _ = runs(uri, the_plan)
    assert counted_rows(uri) == before
    assert "| focal_gamma=2 | keep |" in parent.data.tags[views.NOTE_TAG]
    assert "![" not in parent.data.tags[views.NOTE_TAG]
    assert parent.data.metrics["delta/focal_gamma 2"] == 0.011
    stored = {path.name for path in (tmp_path / "mlartifacts").rglob("*") if path.is_file()}
    assert stored == {"report.html", "report.md", "report.json"}


REPORT = {
    "metric": "balanced_accuracy",
    "arms": [
        {
            "arm": "baseline",
            "mean": 0.66,
            "sd": 0.005,
            "top1": 0.73,
            "top3": 0.92,
            "balanced_accuracy": 0.66,
            "ece": 0.05,
        },
        {
            "arm": "focal_gamma=2",
            "mean": 0.671,
            "sd": None,
            "top1": 0.74,
            "top3": 0.93,
            "balanced_accuracy": 0.671,
            "ece": 0.07,
        },
    ],
    "noise": {"sd": 0.006, "ci_low": 0.004, "ci_high": 0.009, "seed_correlation": None},
    "comparisons": [
        {
            "arm": "focal_gamma=2",
            "delta": 0.011,
            "ci_low_simultaneous": 0.004,
            "ci_high_simultaneous": 0.018,
            "p_adjusted": 0.01,
            "probability_better": 0.9,
            "verdict": "keep",
            "label": "practical",
            "seeds": [0, 1],
            "seed_deltas": [0.012, 0.010],
        }
    ],
    "recommendation": {"ship": "focal_gamma=2"},
    "calibration": [{"arm": "baseline", "temperature": {"mean": 1.3}, "after": None}],
    "posthoc": [
        {"name": f"{arm}+hflip", "arm": arm, "primary": {"delta": 0.01}, "ci_low_simultaneous": 0.0}
        for arm in ("baseline", "focal_gamma=2")
    ],
    "abstain": {"arms": [{"arm": "baseline", "answer": {"share": {"mean": 0.4}, "risk": None}}]},
    "selection": {
        "first_stage": {"importances": {"focal_gamma": 0.8, "label_smoothing": 0.2}},
        "confirmed": [{"arm": "focal_gamma=2", "first": 0.02, "fresh": 0.012, "shrinkage": 0.008}],
        "optimism": {"mean": 0.008, "ci_low": None, "ci_high": None},
        "yardstick": {"best": 0.0097},
    },
}
"""What of a report reaches MLflow, some of it unknown."""


def judged(folder, report=REPORT):
    folder.report.mkdir(parents=True, exist_ok=True)
    (folder.report / "report.json").write_text(json.dumps(report))
    return [folder.report]


def test_the_parents_metrics_are_the_reports_figures_and_what_is_unknown_is_left_out(sweep, uri):
    the_plan, folder = sweep
    watching = Exporter(uri, the_plan, folder, QUESTION)
    watching.attach(judged(folder))
    watching.close(interrupted=False)
    parent, _ = runs(uri, the_plan)
    assert parent.data.metrics == {
        "balanced_accuracy/baseline": 0.66,
        "balanced_accuracy/focal_gamma 2": 0.671,
        "top1/baseline": 0.73,
        "top1/focal_gamma 2": 0.74,
        "top3/baseline": 0.92,
        "top3/focal_gamma 2": 0.93,
        "ece/baseline": 0.05,
        "ece/focal_gamma 2": 0.07,
        "run_sd/baseline": 0.005,
        "delta/focal_gamma 2": 0.011,
        "delta_low/focal_gamma 2": 0.004,
        "delta_high/focal_gamma 2": 0.018,
        "p_adjusted/focal_gamma 2": 0.01,
        "probability_better/focal_gamma 2": 0.9,
        "noise/run_sd": 0.006,
        "noise/run_sd_low": 0.004,
        "noise/run_sd_high": 0.009,
        "verdicts/keep": 1,
        "verdicts/reject": 0,
        "verdicts/inconclusive": 0,
        "temperature/baseline": 1.3,
        "posthoc_delta/focal_gamma 2 - hflip": 0.01,
        "posthoc_delta_low/focal_gamma 2 - hflip": 0.0,
        "answered/baseline": 0.4,
        "search_delta/focal_gamma 2": 0.02,
        "fresh_delta/focal_gamma 2": 0.012,
        "shrinkage/focal_gamma 2": 0.008,
        "picking/shrinkage": 0.008,
        "picking/by_chance": 0.0097,
        "importance/focal_gamma": 0.8,
        "importance/label_smoothing": 0.2,
    }
    assert parent.data.tags["ship"] == "focal_gamma=2"
    assert parent.data.tags["verdict/focal_gamma 2"] == "keep, practical"


def test_each_trial_has_its_arms_verdict_and_its_own_delta_to_the_baseline_of_its_seed(sweep, uri):
    the_plan, folder = sweep
    for trial in the_plan.trials:
        finish(folder, trial)
    for _ in range(2):
        watching = Exporter(uri, the_plan, folder, QUESTION)
        watching.attach(judged(folder))
        watching.close(interrupted=False)
    _, children = runs(uri, the_plan)
    assert {key: run.data.tags["verdict"] for key, run in children.items()} == {
        ("baseline", 0): "baseline",
        ("baseline", 1): "baseline",
        ("focal_gamma=2", 0): "keep, practical",
        ("focal_gamma=2", 1): "keep, practical",
    }
    deltas = {key: run.data.metrics.get("delta/balanced_accuracy") for key, run in children.items()}
    assert deltas["focal_gamma=2", 1] == 0.010
    assert deltas["baseline", 1] is None
    database = uri.removeprefix("sqlite:///")
    with sqlite3.connect(database) as connection:
        sent = connection.execute("SELECT count(*) FROM metrics WHERE key LIKE 'delta/bal%'").fetchone()
    connection.close()
    assert sent == (2,)  # the second report sent none again


def keep_model(folder, trial):
    """Leave what a finished trial leaves that keeps its model; the model that it saved."""
    files = folder.trial(trial.trial_id)
    config = ModelConfig(architecture="resnet", settings={"hidden_sizes": [8], "depths": [1], "embedding_size": 8})
    data = DataConfig(image_size=16)
    model = build_model(config, ("acne", "eczema"))
    save_classifier(
        model, Config(data=data, model=config, training=TrainingConfig()), ("acne", "eczema"), files.model
    )
    finish(folder, trial)
    return model.eval()


def models(uri, the_plan):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    return client, client.search_logged_models([client.get_experiment_by_name(the_plan.sweep.name).experiment_id])


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred")  # mlflow.pyfunc, of its own
def test_the_chosen_model_is_logged_once_and_loads_without_a_pickle_to_the_same_logits(sweep, uri, monkeypatch):
    the_plan, folder = sweep
    trial = the_plan.trials[1]
    model = keep_model(folder, trial)
    for _ in range(2):
        watching = Exporter(uri, the_plan, folder, QUESTION)
        watching.offer(Chosen(trial=trial, why="of 2 seeds the best on val, never on test"))
        watching.close(interrupted=False)
        assert watching.n_errors == 0
    _, (logged,) = models(uri, the_plan)
    parent, children = runs(uri, the_plan)
    run = children[trial.arm, trial.seed]
    assert (logged.name, logged.status.value, logged.source_run_id) == ("focal-laptop", "READY", run.info.run_id)
    assert logged.tags["chosen"] == "of 2 seeds the best on val, never on test"
    assert logged.params["focal_gamma"] == "2.0"
    assert parent.data.tags["model"] == f"models:/{logged.model_id}"
    assert parent.data.tags["model.trial"] == trial.title
    assert [output.model_id for output in run.outputs.model_outputs] == [logged.model_id]

    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    files = Path(mlflow.artifacts.download_artifacts(f"models:/{logged.model_id}"))
    assert {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()} == {
        "MLmodel",
        "registered_model_meta",  # MLflow's own, of the download
        "requirements.txt",
        "data/config.json",
        "data/model.safetensors",
        "data/preprocessing.json",
    }
    pixels = torch.zeros(1, 3, 16, 16)
    with torch.inference_mode():
        plain = AutoModelForImageClassification.from_pretrained(files / "data").eval()(pixels).logits
        assert torch.allclose(plain, model(pixels).logits, atol=1e-6)
    photograph = io.BytesIO()
    Image.new("RGB", (40, 20)).save(photograph, "PNG")
    served = mlflow.pyfunc.load_model(str(files)).predict(pd.DataFrame({"image": [photograph.getvalue()]}))
    assert list(served.columns) == ["acne", "eczema"]
    assert served.to_numpy().sum() == pytest.approx(1)


def test_a_model_that_was_cut_off_is_logged_anew_and_leaves_no_half_one(sweep, uri):
    the_plan, folder = sweep
    trial = the_plan.trials[0]
    keep_model(folder, trial)
    Exporter(uri, the_plan, folder, QUESTION).close(interrupted=False)
    client, _ = models(uri, the_plan)
    run = runs(uri, the_plan)[1][trial.arm, trial.seed]
    digest = folder.trial(trial.trial_id).manifest()["model"]["model.safetensors"]
    half = client.create_logged_model(
        run.info.experiment_id, "focal-laptop", run.info.run_id, {views.DIGEST_TAG: digest}
    )
    watching = Exporter(uri, the_plan, folder, QUESTION)
    watching.offer(Chosen(trial=trial, why="the baseline"))
    watching.close(interrupted=False)
    _, (logged,) = models(uri, the_plan)
    assert logged.model_id != half.model_id
    assert logged.status.value == "READY"


def test_a_description_never_exceeds_what_mlflow_keeps_and_says_where_the_rest_is():
    report = "\n\n".join(f"Paragraph {i} of a long report." for i in range(1000))
    note = views.describe_sweep(planned(), QUESTION, Path("runs/focal-laptop"), report)
    assert len(note) <= views.NOTE_LIMIT
    assert "of a long report.\n\nThe whole report is under *Artifacts*, in `report`.\n\n2 arms × 2 seeds" in note


def test_a_description_begins_with_the_answer_for_the_ui_folds_the_rest_away():
    report = "# focal\n\n_Does it help?_\n\n- Keep focal_gamma=2.\n\n## Verdicts\n"
    note = views.describe_sweep(planned(), QUESTION, Path("runs/focal-laptop"), report)
    assert note.startswith("- Keep focal_gamma=2.")


def test_a_description_of_a_thousand_arms_lists_the_first_and_counts_them_all():
    note = views.describe_sweep(plans.planned(n_arms=1000), QUESTION, Path("runs/focal-laptop"))
    assert views.NOTE_LIMIT - 100 < len(note) <= views.NOTE_LIMIT
    assert "| `baseline` | 0.0 |\n| `focal_gamma=1` | 1.0 |" in note
    assert note.endswith("|\n\nThese are the first of 1,000 arms.")
