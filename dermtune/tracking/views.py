"""What MLflow's runs should show, read from the plan and the sweep's folder; no mlflow here."""

import bisect
import csv
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from analysis.words import count
from dermtune.config import canonical_json
from dermtune.durable import sha256
from dermtune.ledger import TrialFolder
from dermtune.plan import Plan, Trial
from dermtune.selection import STAGES

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
"""MLflow's own words; KILLED is a trial that was cut off and can go on."""

TRIAL_TAG = "dermtune.trial_id"
SWEEP_TAG = "dermtune.sweep_id"
DIGEST_TAG = "dermtune.weights"
REPORT_TAG = "dermtune.report"
"""Tag whose value is the hash of the report's files, once they have all arrived."""
CHOSEN_TAG = "chosen"
PRUNED_TAG = "pruned"
"""Tag of a trial that a search has stopped early."""
NO_STEP = 0
"""Step of a value that is no curve: the UI draws it as a bar."""
NOTE_TAG = "mlflow.note.content"
"""Tag whose value, Markdown, the UI shows as the description."""
NOTE_LIMIT = 8000
"""Characters that MLflow keeps of a tag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of one curve."""

    key: str
    value: float
    step: int
    """Epochs trained."""
    seconds: float
    """Training time up to here; the point's time in the UI is the run's start plus this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """One trial as its folder has it now."""

    status: Status
    begun: bool
    """Whether there is anything to show."""
    curves: tuple[Point, ...] = ()
    """What `history.csv` holds."""
    scores: tuple[Point, ...] = ()
    """Final scores, one point each."""
    tags: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    """Training time."""
    finished: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The trial whose model is logged."""

    trial: Trial
    why: str
    """How it was chosen, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """A trained model as MLflow shows it."""

    name: str
    folder: Path
    """Plain files, as `dermtune.serving` writes them."""
    digest: str
    """The weights' hash in the manifest; the same model has the same."""
    classes: tuple[str, ...]
    tags: Mapping[str, str]
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetView:
    """What the trials were trained and judged on."""

    name: str
    digest: str
    source: str
    """JSON."""


def view_trial(folder: TrialFolder, *, running: bool, splits: Sequence[str] = ("val", "test")) -> TrialView:
    """The trial's view; `running` says that this driver is training it, `splits` whose scores are shown.

    Raises OSError, ValueError, or LedgerError where `pruned.json` is damaged.
    """
    curves = read_curves(folder.history)
    seconds = max((point.seconds for point in curves), default=0.0)
    if folder.is_done():
        return _view_done(folder.manifest(), curves, splits)
    if running:
        return TrialView(status="RUNNING", begun=True, curves=curves, seconds=seconds)
    if (pruned := folder.pruned()) is not None:
        # It has ended as it should and never goes on, which is what KILLED is for.
        tags = {PRUNED_TAG: f"after {count(pruned.epochs, 'epoch')}"}
        return TrialView(status="FINISHED", begun=True, curves=curves, seconds=seconds, tags=tags)
    reason = folder.failure()
    if reason is not None:
        note = {NOTE_TAG: f"**No result:** {reason}"}
        return TrialView(status="FAILED", begun=True, curves=curves, seconds=seconds, tags=note)
    return TrialView(status="KILLED", begun=bool(curves), curves=curves, seconds=seconds)


def read_curves(history: Path) -> tuple[Point, ...]:
    """Every value of every epoch, in the file's order; empty where there is no file yet."""
    try:
        with history.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return ()
    points: list[Point] = []
    seconds = 0.0
    for row in rows:
        step = int(float(row.pop("epoch")))
        seconds += float(row["seconds"])
        points += [
            Point(key=_grouped(column), value=float(text), step=step, seconds=seconds)
            for column, text in row.items()
            if text
        ]
    return tuple(points)


def trial_params(trial: Trial) -> dict[str, str]:
    """Arm, seed and every lever by its bare name, then the rest of the config by its path."""
    config = trial.config.to_dict()
    levers = {**config.pop("levers"), **trial.levers}
    return {"arm": trial.arm, "seed": str(trial.seed), **_texts(levers), **_texts(_flat(config))}


def trial_tags(plan: Plan, trial: Trial) -> dict[str, str]:
    """What a trial's run is found and grouped by."""
    return {TRIAL_TAG: trial.trial_id, "arm": trial.arm, "seed": str(trial.seed), "recipe": plan.recipe}


def sweep_params(plan: Plan) -> dict[str, str]:
    """What all trials of the sweep share: the recipe's config without its levers."""
    config = plan.trials[0].config.to_dict()
    del config["levers"]
    return {"recipe": plan.recipe, **_texts(_flat(config))}


def sweep_id(plan: Plan) -> str:
    """Hash of the question put to this configuration and data; further seeds, or points, leave it unchanged."""
    if plan.stage:
        about = [plan.folder_name, plan.stage, plan.trials[0].trial_id]
        return hashlib.sha256(canonical_json(about).encode()).hexdigest()[:16]
    block = [trial.trial_id for trial in plan.trials if trial.seed == plan.seeds[0]]
    return hashlib.sha256(canonical_json([plan.folder_name, sorted(block)]).encode()).hexdigest()[:16]


def sweep_title(plan: Plan) -> str:
    """The sweep as a person names it."""
    return f"{plan.sweep.name} · {STAGES[plan.stage] if plan.stage else plan.recipe}"


def sweep_tags(plan: Plan) -> dict[str, str]:
    """What the sweep's run is found by, and its size; tags, because further seeds may change it."""
    return {
        SWEEP_TAG: sweep_id(plan),
        "recipe": plan.recipe,
        "primary_metric": plan.sweep.primary_metric,
        "seeds": str(len(plan.seeds)),
        "arms": str(len(plan.arms)),
    }


def describe_dataset(plan: Plan) -> DatasetView:
    """The plan's data, by fingerprint."""
    trial = plan.trials[0]
    data = trial.config.data
    source = {"metadata": data.metadata, "images": data.image_folder, "image_size": data.image_size}
    return DatasetView(name=plan.recipe, digest=trial.fingerprints["data"][:16], source=json.dumps(source))


def describe_sweep(plan: Plan, question: str, folder: Path, report: str = "") -> str:
    """The parent run's description, Markdown: question and design or, once there is a report, its answer first.

    The UI folds all but the first lines away. A report too long for a tag ends at a paragraph, with a word on where
    the rest is.
    """
    design = _picking(plan, folder) if plan.stage else _judging(plan, folder)
    if not report:
        asked = f"### {question}\n\n{design}\n\n"
        return f"{asked}{_arms_table(plan, NOTE_LIMIT - len(asked))}"
    body = _without_title(_without_pictures(report))
    return f"{_shortened(body, NOTE_LIMIT - len(design) - 2)}\n\n{design}"


def _judging(plan: Plan, folder: Path) -> str:
    return (
        f"{len(plan.arms)} arms × {len(plan.seeds)} seeds on the recipe `{plan.recipe}`, judged on "
        f"`{plan.sweep.primary_metric}` with a margin of {100 * plan.sweep.margin:g} points, in `{folder.name}`"
    )


def _picking(plan: Plan, folder: Path) -> str:
    return (
        f"The {STAGES[plan.stage or 'search']} that finds the arms, on the recipe `{plan.recipe}` in "
        f"`{folder.name}`: the best by `{plan.sweep.primary_metric}` on val are trained again with fresh seeds and "
        "judged on test. Its own scores are the luckiest of many."
    )


def view_model(plan: Plan, chosen: Chosen, folder: TrialFolder) -> ModelView:
    """The chosen trial's model. Raises OSError or ValueError where its folder lacks it."""
    trial = chosen.trial
    about = json.loads((folder.model / "preprocessing.json").read_text("utf-8"))
    return ModelView(
        name=plan.folder_name,
        folder=folder.model,
        digest=folder.manifest()["model"]["model.safetensors"],
        classes=tuple(about["classes"]),
        tags={**trial_tags(plan, trial), CHOSEN_TAG: chosen.why},
        params=trial_params(trial),
    )


def digest_files(paths: Sequence[Path]) -> str:
    """Hash of the files' names and bytes, and of all in folders among them."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(file for file in (path, *path.rglob("*")) if file.is_file()):
            digest.update(f"{file.relative_to(path.parent)}={sha256(file)}\n".encode())
    return digest.hexdigest()


def _view_done(manifest: Mapping[str, Any], curves: Sequence[Point], splits: Sequence[str]) -> TrialView:
    seconds = float(manifest["seconds"])
    in_curves = {point.key for point in curves}
    scores = {f"{split}/{name}": value for split in splits for name, value in manifest["scores"][split].items()}
    return TrialView(
        status="FINISHED",
        begun=True,
        curves=tuple(curves),
        # A score that is a curve too has its last value there already.
        scores=tuple(
            Point(key=key, value=float(value), step=NO_STEP, seconds=seconds)
            for key, value in scores.items()
            if key not in in_curves
        ),
        tags={key: str(manifest[key]) for key in ("commit", "device") if manifest.get(key)},
        seconds=seconds,
        finished=datetime.fromisoformat(manifest["finished"]) if "finished" in manifest else None,
    )


def _grouped(column: str) -> str:
    """A history's column under its split: the UI draws `val/top1` in a section `val`."""
    split, underscore, name = column.partition("_")
    return f"{split}/{name}" if underscore and split in ("train", "val") else column


def _without_title(report: str) -> str:
    """The report from its answer on: the run has the name, the experiment the question."""
    paragraphs = report.strip().split("\n\n")
    titles = itertools.takewhile(lambda paragraph: paragraph.startswith(("# ", "_")), paragraphs)
    return "\n\n".join(paragraphs[len(list(titles)) :])


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by their dotted path; what was not set is left out."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            leaves |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}


def _arms_table(plan: Plan, limit: int) -> str:
    """The arms with their levers; those beyond so many characters are counted."""
    levers = list(plan.arms[0].levers)
    head = [["arm", *levers], ["---"] * (1 + len(levers))]
    arms = [[f"`{arm.name}`", *(str(arm.levers[lever]) for lever in levers)] for arm in plan.arms]
    lines = [f"| {' | '.join(cells)} |" for cells in (*head, *arms)]
    ends = list(itertools.accumulate(len(line) + 1 for line in lines))
    if ends[-1] <= limit:
        return "\n".join(lines)
    more = f"\n\nThese are the first of {len(arms):,} arms."
    fitting = bisect.bisect_right(ends, limit - len(more))
    return "\n".join(lines[:fitting]) + more


def _without_pictures(markdown: str) -> str:
    """A description cannot reach a run's artifacts, so a picture in it would be broken."""
    return "\n".join(line for line in markdown.splitlines() if not line.lstrip().startswith("!["))


def _shortened(markdown: str, limit: int) -> str:
    if len(markdown) <= limit:
        return markdown
    more = "\n\nThe whole report is under *Artifacts*, in `report`."
    return markdown[: limit - len(more)].rpartition("\n\n")[0] + more
