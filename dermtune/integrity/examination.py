"""One trial examined: what state it is in, whether its files agree with each other, and on what it was tested."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from analysis.metrics import overall_scores
from analysis.predictions import PredictionError, Predictions, read_predictions
from analysis.words import count
from dermtune.config import Config, UserError
from dermtune.integrity.finding import MOVE_AWAY, RUN_AGAIN, Finding, Severity
from dermtune.ledger import LedgerError, TrialFolder
from dermtune.plan import Trial

SPLITS = ("val", "test")
MANIFEST_FORMAT = 1
SAME_SCORE = 1e-6
"""Scores that differ by less come from the same predictions, summed by another machine."""

State = Literal["done", "pruned", "damaged", "failed", "unfinished", "not begun"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A trial as `sweep.json` lists it."""

    trial_id: str
    arm: str
    seed: int

    @property
    def title(self) -> str:
        """The trial as a person names it."""
        return f"{self.arm} · seed {self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What is known of one trial."""

    listed: Listed
    state: State
    findings: tuple[Finding, ...] = ()
    manifest: Mapping[str, Any] | None = None
    """Of a trial that is done."""
    tested_on: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of a done trial, by split: a hash of its images, groups, labels and classes."""


def examine(folder: TrialFolder, listed: Listed) -> Examined:
    """The trial, after every file of it was read."""
    if (damage := folder.damage()) is not None:
        finding = _finding("damaged", listed, "", damage, RUN_AGAIN)
        return Examined(listed=listed, state="damaged", findings=(finding,))
    return _done(folder, listed) if folder.is_done() else _unfinished(folder, listed)


def _done(folder: TrialFolder, listed: Listed) -> Examined:
    """A trial whose files are what was sealed: do they say what is so?"""
    manifest, tested_on = folder.manifest(), {}
    findings = [
        _finding("damaged", listed, "manifest.json", what, MOVE_AWAY) for what in _misfits(manifest, listed)
    ]
    for split in SPLITS:
        file = f"{split}.parquet"
        try:
            predictions = read_predictions(folder.predictions(split))
        except PredictionError as error:
            findings.append(_finding("damaged", listed, file, str(error), MOVE_AWAY))
            continue
        untrue = (*_other_trial(predictions, listed, split), *_other_scores(predictions, manifest, split))
        findings += [_finding("damaged", listed, file, what, MOVE_AWAY) for what in untrue]
        tested_on[split] = _tested_on(predictions)
    findings += _bad_attempts(folder, listed)
    return Examined(
        listed=listed,
        state="damaged" if findings else "done",
        findings=tuple(findings),
        manifest=manifest,
        tested_on=tested_on,
    )


def _unfinished(folder: TrialFolder, listed: Listed) -> Examined:
    try:
        if folder.pruned() is not None:
            return Examined(listed=listed, state="pruned")
    except LedgerError as error:
        finding = _finding("damaged", listed, "pruned.json", str(error), MOVE_AWAY)
        return Examined(listed=listed, state="damaged", findings=(finding,))
    if (reason := folder.failure()) is not None:
        what, do = f"failed: {reason}", "mend the cause; the same command tries it again"
        return Examined(
            listed=listed,
            state="failed",
            findings=(_finding("unfinished", listed, "failure.json", what, do),),
        )
    if (kept := folder.epochs_kept()) or folder.checkpoint.exists():
        what = f"was cut off, {count(kept, 'epoch')} kept"
        finding = _finding("unfinished", listed, "", what, "the same command goes on from there")
        return Examined(listed=listed, state="unfinished", findings=(finding,))
    return Examined(listed=listed, state="not begun")


def _identity(listed: Listed) -> Mapping[str, Any]:
    """What every file of a trial says of it; not the arm, whose name another pick may have had when it ran."""
    return {"trial_id": listed.trial_id, "seed": listed.seed}


def _misfits(manifest: Mapping[str, Any], listed: Listed) -> Iterator[str]:
    """What a manifest says that is not so of this trial."""
    if manifest.get("format") != MANIFEST_FORMAT:
        yield f"must be of format {MANIFEST_FORMAT}, got {manifest.get('format')!r}"
    for key, want in _identity(listed).items():
        if manifest.get(key) != want:
            yield f"must have the {key} {want!r}, got {manifest.get(key)!r}"
    try:
        trial_id = _trial_of(manifest).trial_id
    except (UserError, KeyError, TypeError, ValueError) as error:
        yield f"must have the config of a trial: {type(error).__name__}: {error}"
        return
    if trial_id != listed.trial_id:
        yield f"config, seed and fingerprints are those of trial {trial_id}"
    settings = {**manifest["config"]["training"], **manifest["config"]["levers"]}
    for lever, value in manifest["levers"].items():
        if settings.get(lever) != value:
            yield f"lever {lever} = {value!r} must be the config's, which has {settings.get(lever)!r}"


def _trial_of(manifest: Mapping[str, Any]) -> Trial:
    return Trial(
        arm=manifest["arm"],
        levers=manifest["levers"],
        seed=manifest["seed"],
        config=Config.from_dict(manifest["config"]),
        fingerprints=manifest["fingerprints"],
    )


def _other_trial(predictions: Predictions, listed: Listed, split: str) -> Iterator[str]:
    for key, want in {**_identity(listed), "split": split}.items():
        if (got := getattr(predictions, key)) != want:
            yield f"must have the {key} {want!r}, got {got!r}"


def _other_scores(predictions: Predictions, manifest: Mapping[str, Any], split: str) -> Iterator[str]:
    """One clause for all scores that the manifest has otherwise."""
    recorded = manifest.get("scores", {}).get(split, {})
    scores = overall_scores(predictions.label, predictions.probabilities)
    other = [metric for metric, score in scores.items() if not _is_same(recorded.get(metric), score)]
    if other:
        said = f"{other[0]} is {scores[other[0]]:.6g}, the manifest has {recorded.get(other[0])!r}"
        yield f"{len(other)} of {count(len(scores), 'score')} are not those of the manifest: {said}"


def _is_same(recorded: object, score: float) -> bool:
    return isinstance(recorded, int | float) and math.isclose(recorded, score, rel_tol=0, abs_tol=SAME_SCORE)


def _bad_attempts(folder: TrialFolder, listed: Listed) -> Iterator[Finding]:
    try:
        folder.attempts()
    except LedgerError as error:
        yield _finding("damaged", listed, folder.attempts_file.name, str(error), "move it away; its cost is lost")


def _tested_on(predictions: Predictions) -> dict[str, str]:
    """A hash of each thing that paired trials share, in the order of the images' names."""
    order = np.argsort(predictions.sample_id)
    label_names = np.asarray(predictions.classes)[predictions.label]
    columns = {"images": predictions.sample_id, "groups": predictions.group_id, "labels": label_names}
    hashes = {what: _hash(column[order].tolist()) for what, column in columns.items()}
    return {**hashes, "classes": _hash(list(predictions.classes))}


def _hash(values: list[str]) -> str:
    return hashlib.sha256("\0".join(values).encode()).hexdigest()


def _finding(severity: Severity, listed: Listed, name: str, what: str, do: str) -> Finding:
    file = "/".join(filter(None, ("trials", listed.trial_id, name)))
    return Finding(severity=severity, file=file, what=f"{listed.title}: {what}", do=do)
