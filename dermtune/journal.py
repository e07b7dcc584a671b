"""What a search has proposed and learnt, in Optuna's own storage: a journal of one line a change.

A point enters it whole, as running, before its trial starts, and its trial's folder says how it ended. So a kill at
any moment leaves points that go on, and none that is lost or counted twice.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import distribution_to_json
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock  # it is a parameter's type, and not exported
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from typing_extensions import override

from analysis.words import higher_is_better
from dermtune.config import UserError, canonical_json
from dermtune.ledger import SweepFolder, TrialFolder
from dermtune.outcome import Outcome, outcome_of
from dermtune.plan import Trial
from dermtune.points import Points
from dermtune.selection import Tried

FILE = "journal.log"

AGAIN = "again"
"""Marks a point that has failed or is lost, and is tried again: it is no further one."""


class JournalError(UserError):
    """A search's journal that cannot be read; the message names it and says what to do."""


class Journal:
    """The search as its one driver goes on with it: what was proposed, what is under way, what comes next."""

    def __init__(self, points: Points, folder: SweepFolder) -> None:
        """The journal of these points, begun where there is none; what failed, or is lost, is to be tried again.

        Raises JournalError where it cannot be read.
        """
        self._points, self._folder = points, folder
        path = folder.search / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path)
        self._storage = _storage(path)
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=_name(points),
            directions=_directions(points),
            load_if_exists=True,
        )
        for trial in self.open_trials():
            self.settle(trial)
        self._open_again()

    @property
    def is_full(self) -> bool:
        """Whether all points are proposed."""
        proposed = [point for point in self._study.get_trials(deepcopy=False) if AGAIN not in point.user_attrs]
        return len(proposed) >= self._points.search.n_points

    def open_trials(self) -> tuple[Trial, ...]:
        """The trials whose end Optuna has not been told, each once, in the order of their proposal."""
        trials = _trials(self._points, self._study)
        return tuple({trials[number].trial_id: trials[number] for number in self._open()}.values())

    def propose(self) -> Trial:
        """The trial of one more point: the baseline, then what Optuna's TPE makes of all that is known by then.

        It is that of an earlier point where the levers are the same. What is proposed depends on the search's seed,
        the point's number and what is known, so that a search that was killed goes on as if it had not been.
        """
        number = len(self._study.get_trials(deepcopy=False))
        self._add(self._proposed(number) if number else self._points.sweep.baseline)
        return _trials(self._points, self._study)[number]

    def settle(self, trial: Trial) -> bool:
        """Whether the trial has ended, by its folder; Optuna is told of every point that it is the trial of."""
        outcome = outcome_of(self._folder.trial(trial.trial_id))
        if outcome is None:
            return False
        trials = _trials(self._points, self._study)
        for number in self._open():
            if trials[number].trial_id == trial.trial_id:
                self._tell(number, outcome, self._folder.trial(trial.trial_id))
        return True

    def _proposed(self, number: int) -> Mapping[str, Any]:
        """The levers of the next point, asked of a copy in memory: nothing half-proposed is written."""
        seed = int(np.random.SeedSequence([self._points.seed, number]).generate_state(1)[0])
        copy = optuna.create_study(directions=_directions(self._points), sampler=TPESampler(seed=seed))
        copy.add_trials(self._study.get_trials(deepcopy=False))
        asked: Mapping[str, Any] = copy.ask(dict(self._points.search.space)).params
        return asked

    def _add(self, levers: Mapping[str, Any], **about: int) -> None:
        """Write a point as running, in one line."""
        space = dict(self._points.search.space)
        params = {lever: levers[lever] for lever in space}
        self._study.add_trial(
            create_trial(state=TrialState.RUNNING, params=params, distributions=space, user_attrs=about)
        )

    def _open(self) -> list[int]:
        return [point.number for point in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]

    def _open_again(self) -> None:
        """Open every point once more that has failed, or whose trial is lost: it was damaged and set aside.

        Only then is a failure forgotten.
        """
        open_ids = {trial.trial_id for trial in self.open_trials()}
        for number, trial in _first(_trials(self._points, self._study)).items():
            folder = self._folder.trial(trial.trial_id)
            outcome = outcome_of(folder)
            if trial.trial_id not in open_ids and (outcome is None or outcome.state == "failed"):
                self._add(trial.levers, **{AGAIN: number})
                folder.clear_failure()

    def _tell(self, number: int, outcome: Outcome, folder: TrialFolder) -> None:
        match outcome.state:
            case "done":
                self._study.tell(number, [outcome.scores[metric] for metric in self._points.objectives])
            case "pruned":
                self._tell_course(number, folder)
                self._study.tell(number, state=TrialState.PRUNED)
            case "failed":
                self._study.tell(number, state=TrialState.FAIL)

    def _tell_course(self, number: int, folder: TrialFolder) -> None:
        """The metric after each epoch; of several objectives Optuna keeps none, and ranks such a point last."""
        if len(self._points.objectives) > 1:
            return
        study_id = self._storage.get_study_id_from_name(self._study.study_name)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, number)
        for row in folder.history_rows():
            value = float(row[f"val_{self._points.objectives[0]}"])
            self._storage.set_trial_intermediate_value(trial_id, round(float(row["epoch"])), value)


def trials(points: Points, folder: SweepFolder) -> tuple[Trial, ...]:
    """The trials of all points that were proposed so far, each once, the baseline first. Raises JournalError."""
    study = _stored(points, folder)
    return () if study is None else tuple(_first(_trials(points, study)).values())


def tried(points: Points, folder: SweepFolder) -> tuple[Tried, ...]:
    """The points so far that have ended, the baseline first; those with equal levers are one.

    Raises JournalError, and LedgerError where a trial's `pruned.json` is damaged.
    """
    study = _stored(points, folder)
    ended = []
    for number, trial in _first(_trials(points, study)).items() if study else ():
        outcome = outcome_of(folder.trial(trial.trial_id))
        if outcome is not None:
            ended.append(
                Tried(
                    number=number,
                    name=trial.arm,
                    levers=trial.levers,
                    trial_ids=(trial.trial_id,),
                    state=outcome.state,
                    epochs=outcome.epochs,
                    scores=outcome.scores,
                )
            )
    return tuple(ended)


def importances(points: Points, folder: SweepFolder) -> Mapping[str, float]:
    """Each lever's share in the variance of the metric over the points that are done, the largest first.

    fANOVA (Hutter et al. 2014), shares that sum to one. Empty with fewer than two points that are done, or where
    they do not differ. Raises JournalError.
    """
    study = _stored(points, folder)
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if study else []
    if len({point.values[0] for point in done}) < 2:
        return {}
    evaluator = FanovaImportanceEvaluator(seed=points.seed)
    shares = get_param_importances(study, evaluator=evaluator, target=lambda point: point.values[0])
    return {lever: float(share) for lever, share in shares.items()}


def _stored(points: Points, folder: SweepFolder) -> Any:
    """Optuna's study of these points, to be read; None where there is none. Raises JournalError."""
    path = folder.search / FILE
    if not path.exists():
        return None
    try:
        return optuna.load_study(study_name=_name(points), storage=_storage(path))
    except KeyError:
        return None


def _storage(path: Path) -> JournalStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every study that it makes
    try:
        return JournalStorage(JournalFileBackend(str(path), lock_obj=_OneDriver()))
    except (ValueError, LookupError, TypeError) as error:
        raise JournalError(
            f"{path} must hold what the search has proposed, this does not fit: {error}; move it away to propose "
            "anew: what is trained already is not trained again"
        ) from None


class _OneDriver(BaseJournalFileLock):
    """Optuna's lock of its file, which need not lock: the sweep's folder has one driver."""

    @override
    def acquire(self) -> bool:
        """Nobody else writes."""
        return True

    @override
    def release(self) -> None:
        """Nobody waits."""


def _cut_torn_line(path: Path) -> None:
    """Remove a last line that a kill cut off: what is written next would be joined to it."""
    if path.exists():
        content = path.read_bytes()
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _name(points: Points) -> str:
    """A study for each question: points of another space, recipe or data teach nothing here."""
    asked = {
        "objectives": points.objectives,
        "space": {lever: json.loads(distribution_to_json(d)) for lever, d in points.search.space.items()},
        "baseline": points.baseline.trial_id,
    }
    return hashlib.sha256(canonical_json(asked).encode()).hexdigest()[:16]


def _directions(points: Points) -> list[StudyDirection]:
    return [
        StudyDirection.MAXIMIZE if higher_is_better(metric) else StudyDirection.MINIMIZE
        for metric in points.objectives
    ]


def _trials(points: Points, study: Any) -> dict[int, Trial]:
    """Each point's trial, by number; points with equal config have one, which is named after the first."""
    named: dict[str, Trial] = {}
    found: dict[int, Trial] = {}
    for point in study.get_trials(deepcopy=False):
        trial = points.trial(point.number, {lever: point.params[lever] for lever in points.search.space})
        found[point.number] = named.setdefault(trial.trial_id, trial)
    return found


def _first(trials: Mapping[int, Trial]) -> dict[int, Trial]:
    """Each trial once, by the number of its first point."""
    seen: set[str] = set()
    first: dict[int, Trial] = {}
    for number, trial in trials.items():
        if trial.trial_id not in seen:
            seen.add(trial.trial_id)
            first[number] = trial
    return first
