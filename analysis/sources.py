"""What is to be judged, wherever it is: a sweep's folder, or an index of files made elsewhere."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from analysis.assembly import assemble
from analysis.foreign import load_index, read_csv
from analysis.lookahead import ahead
from analysis.predictions import PredictionError, Predictions, read_predictions
from analysis.relabelling import read_labels
from analysis.scores import ScoreTable, load_scores
from analysis.selectionfile import is_judged_by, read_selection, why_not_judged
from analysis.spending import SpendingError, spending
from analysis.split import Split
from analysis.study import Correction, Question, SetAside, SourceError, Study, Tested
from analysis.words import count

FORMAT = 1

_SPLITS = {"train": "training", "val": "validation"}
"""How a person names a split, where it is not by its own name."""

_OTHER_PICKS = (
    "selection.json has other picks than the arms that are judged here, and is left out: the sweep's own command "
    "goes on with those"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """A trial that the sweep lists and that says it is done."""

    arm: str
    seed: int
    trial_id: str
    folder: Path
    manifest: Mapping[str, Any]


def load(path: Path, *, quick: bool = False, labels: Path | None = None) -> Study | ScoreTable:
    """The study at PATH, or the scores in a CSV that names no files. Raises SourceError."""
    is_csv = path.is_file() and path.suffix.lower() == ".csv"
    if not is_csv or "path" in read_csv(path).columns:
        return load_study(path, quick=quick, labels=labels)
    if labels:
        raise SourceError(f"{path}: must be predictions where labels are to be corrected, got scores alone")
    return load_scores(path)


def load_study(path: Path, *, quick: bool = False, labels: Path | None = None) -> Study:
    """The study in a sweep's folder, or behind an index CSV with columns arm, seed, path.

    Trials that are missing, failed or damaged become lines in the study's problems. `quick` reads test predictions
    alone and makes nothing of them after training. `labels` is a file of corrected labels of test images. Raises
    SourceError where PATH is neither, or where nothing in it can be judged.
    """
    correction = None if labels is None else read_labels(labels)
    if (path / "sweep.json").is_file():
        return _load_sweep(path, quick=quick, labels=correction)
    if path.is_file() and path.suffix.lower() == ".csv":
        return load_index(path, quick=quick, labels=correction)
    if waiting := why_not_judged(path):
        raise SourceError(waiting)
    kind = "a folder without sweep.json" if path.is_dir() else "another file" if path.exists() else "nothing"
    raise SourceError(
        f"{path} must be a sweep's folder (with sweep.json) or an index CSV (arm, seed, path), got {kind}"
    )


def _load_sweep(folder: Path, *, quick: bool, labels: Correction | None) -> Study:
    path = folder / "sweep.json"
    asked = _read_json(path)
    try:
        question = _question(asked)
        trials = [_trial(folder / "trials", entry) for entry in asked["trials"]]
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{path}: must be a sweep.json of format {FORMAT}, this does not fit: {error}") from None
    for name in {trial.arm for trial in trials} - set(question.arms):
        raise SourceError(f"{path}: a trial's arm must be one of the arms, got {name!r}")
    selection = None if quick else read_selection(folder)
    strayed = [] if selection is None or is_judged_by(selection, question.arms) else [_OTHER_PICKS]
    manifests = [trial.manifest for trial in trials if isinstance(trial, _Trial)]
    spent = _spent([folder / "trials" / entry["trial_id"] for entry in asked["trials"]])
    study = assemble(
        question,
        ahead(partial(_tested, quick=quick), trials),
        provenance=_provenance(manifests) | spent.provenance,
        problems=[*_left_out(manifests), *_mixtures(manifests), *spent.problems, *strayed],
        quick=quick,
        labels=labels,
    )
    return replace(study, selection=None if strayed else selection)


def _question(asked: Mapping[str, Any]) -> Question:
    if asked["format"] != FORMAT:
        raise ValueError(f"format {asked['format']!r}")
    return Question(
        name=str(asked["sweep"]),
        sentence=asked.get("question", ""),
        baseline=asked["baseline"],
        arms={arm["arm"]: arm["levers"] for arm in asked["arms"]},
        primary_metric=str(asked["primary_metric"]),
        guard_metrics=tuple(asked["guard_metrics"]),
        margin=float(asked["margin"]),
        seeds=tuple(dict.fromkeys(int(trial["seed"]) for trial in asked["trials"])),
        looks=_looks(asked, "looks"),
        looks_taken=_looks(asked, "looks_taken"),
        repeats=_repeats(asked),
    )


def _repeats(asked: Mapping[str, Any]) -> Literal["fixed", "adaptive"]:
    """Fixed in a sweep.json that was written before there were others."""
    found = asked.get("repeats", "fixed")
    if found not in ("fixed", "adaptive"):
        raise ValueError(f"repeats must be fixed or adaptive, got {found!r}")
    return "adaptive" if found == "adaptive" else "fixed"


def _looks(asked: Mapping[str, Any], key: str) -> tuple[int, ...]:
    """Numbers of seeds; none in a sweep.json that was written before there were looks."""
    looks = tuple(map(int, asked.get(key, ())))
    if any(low >= high for low, high in itertools.pairwise((0, *looks))):
        raise ValueError(f"{key} must be ascending numbers of seeds, got {list(looks)}")
    return looks


def _trial(trials: Path, entry: Mapping[str, Any]) -> _Trial | SetAside:
    arm, seed, trial_id = entry["arm"], int(entry["seed"]), entry["trial_id"]
    folder = trials / trial_id
    if folder.parent != trials or folder.name == "..":
        raise ValueError(f"trial_id {trial_id!r} is no plain name")
    try:
        manifest = _read_json(folder / "manifest.json")
    except FileNotFoundError:
        return _unfinished(arm, seed, folder)
    except SourceError as error:
        return SetAside(arm=arm, seed=seed, state="damaged", why=str(error))
    return _Trial(arm=arm, seed=seed, trial_id=trial_id, folder=folder, manifest=manifest)


def _unfinished(arm: str, seed: int, folder: Path) -> SetAside:
    """Failed, where the trial left a reason; else missing."""
    try:
        failure = _read_json(folder / "failure.json")
    except (FileNotFoundError, SourceError):
        return SetAside(arm=arm, seed=seed, state="missing")
    return SetAside(
        arm=arm, seed=seed, state=str(failure.get("status", "failed")), why=str(failure.get("reason", ""))
    )


def _tested(trial: _Trial | SetAside, *, quick: bool) -> Tested | SetAside:
    """The trial's predictions, where the file is the one that its manifest seals."""
    if isinstance(trial, SetAside):
        return trial
    try:
        predictions = _read_sealed(trial, "test.parquet")
        val = None if quick or "val.parquet" not in _sealed(trial) else _read_sealed(trial, "val.parquet")
    except (SourceError, PredictionError) as error:
        return SetAside(arm=trial.arm, seed=trial.seed, state="damaged", why=str(error))
    return Tested(
        source=str(trial.folder / "test.parquet"),
        arm=trial.arm,
        seed=trial.seed,
        classes=predictions.classes,
        sample_id=predictions.sample_id,
        group_id=predictions.group_id,
        label=predictions.label.astype(np.int64),
        probabilities=predictions.probabilities,
        logits_hflip=predictions.logits_hflip,
        val=None if val is None else split_of(val, predictions.classes),
    )


def split_of(predictions: Predictions, classes: Sequence[str]) -> Split:
    """The predictions as a split, their classes in this order. Raises SourceError where they are others."""
    if set(predictions.classes) != set(classes):
        raise SourceError(
            f"val and test must have the same classes, got {', '.join(predictions.classes)} "
            f"and {', '.join(classes)}"
        )
    split = Split(
        label=predictions.label.astype(np.int64),
        logits=predictions.logits,
        logits_hflip=predictions.logits_hflip,
        group_id=predictions.group_id,
    )
    return split.columns(np.asarray([predictions.classes.index(name) for name in classes]))


def _sealed(trial: _Trial) -> Mapping[str, str]:
    """The hash of each of the trial's files, as its manifest has it."""
    files = trial.manifest.get("files")
    return files if isinstance(files, dict) else {}


def _read_sealed(trial: _Trial, name: str) -> Predictions:
    path, sealed = trial.folder / name, _sealed(trial).get(name)
    if not path.is_file():
        raise SourceError(f"{path} is gone")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sealed:
        raise SourceError(f"{path} has not the hash that its manifest says")
    predictions = read_predictions(path)
    # The arm is not compared: a search that picks anew gives a done trial's levers another place, and so a name.
    if (predictions.trial_id, predictions.seed) != (trial.trial_id, trial.seed):
        found = f"trial {predictions.trial_id}, {predictions.arm} · seed {predictions.seed}"
        raise SourceError(f"{path} is of {found}")
    return predictions


def _provenance(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the manifests say of how the runs were made; several values are joined."""
    versions = [manifest["versions"] for manifest in manifests if manifest.get("versions")]
    costs = [manifest["cost_usd"] for manifest in manifests if manifest.get("cost_usd") is not None]
    known = {
        "commit": ", ".join(_distinct(manifests, "commit")),
        "data_fingerprint": ", ".join(_fingerprints(manifests)),
        "versions": versions[0] if versions else {},
        "device": ", ".join(_distinct(manifests, "device")),
        "hours": round(sum(manifest.get("seconds") or 0 for manifest in manifests) / 3600, 4),
        "cost_usd": round(sum(costs), 4) if costs else None,
    }
    return {key: value for key, value in known.items() if value}


def _mixtures(manifests: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each thing that runs under comparison should share and do not."""
    kinds = {"commits": _distinct(manifests, "commit"), "data sets": _fingerprints(manifests)}
    mixed = [
        f"the runs come from {len(values)} {kind}: {', '.join(values)}"
        for kind, values in kinds.items()
        if len(values) > 1
    ]
    # A head on kept features is always trained by one process; what came before the field was, too.
    by_images = [manifest for manifest in manifests if manifest.get("frozen_features") is None]
    processes = sorted({int(manifest.get("processes", 1)) for manifest in by_images})
    if len(processes) > 1:
        numbers = " and ".join(map(str, processes))
        mixed.append(f"runs were trained by {numbers} processes each: they agree to rounding, not bit for bit")
    return mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spent:
    """What the sweep has cost."""

    provenance: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def _spent(folders: Sequence[Path]) -> _Spent:
    """All attempts at the trials in these folders, done or not; nothing where none was metered."""
    try:
        spent = spending(folders)
    except SpendingError as error:
        return _Spent(problems=(f"what the sweep has cost is not known: {error}",))
    return _Spent(provenance={"spent": spent.rounded()} if spent else {})


def _left_out(manifests: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each split of which images could not be read; the runs have it from the same list."""
    found = dict.fromkeys(
        (str(split), int(of_split["unreadable"]), int(of_split["listed"]))
        for manifest in manifests
        for split, of_split in (manifest.get("quarantine") or {}).items()
    )
    return [
        f"{n:,} of {count(listed, f'{_SPLITS.get(split, split)} image')} could not be read and "
        f"{'was' if n == 1 else 'were'} left out, see quarantine.csv"
        for split, n, listed in found
    ]


def _distinct(manifests: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(str(manifest[key]) for manifest in manifests if manifest.get(key)))


def _fingerprints(manifests: Sequence[Mapping[str, Any]]) -> list[str]:
    return _distinct([manifest.get("fingerprints", {}) for manifest in manifests], "data")


def _read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises FileNotFoundError, or SourceError where it is no such thing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} must be a JSON file: {error}") from None
    if not isinstance(content, dict):
        raise SourceError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content
