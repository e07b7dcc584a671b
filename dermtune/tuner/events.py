"""Tune's events in the monitors' words, and the monitor that keeps count."""

import contextlib
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from typing_extensions import override

from dermtune.budget import Budget
from dermtune.ledger import LedgerError, Pruned, SweepFolder
from dermtune.memory import WHAT_TO_DO
from dermtune.monitors import Monitor, Monitors
from dermtune.plan import Trial
from dermtune.points import scored
from dermtune.room import unwritten
from dermtune.signals import Signals
from dermtune.tuner.choosing import Chooser
from dermtune.tuner.receiving import Receiver
from dermtune.tuner.stopping import Stop
from dermtune.tuner.worker import TrialsOf

CRASHES = 2
"""Times that a trial is tried again whose worker died or had no memory; a node that goes away does not count."""


class Events(tune.Callback):
    """Translates Tune's events into the monitors' words, and records a death that the worker could not."""

    def __init__(
        self,
        trials_of: TrialsOf,
        folder: SweepFolder,
        monitors: Monitors,
        stop: Stop,
        signals: Signals,
        chooser: Chooser,
        receiver: Receiver,
        pruned: Container[str] = (),
    ) -> None:
        """Events of these trials; `pruned` has Tune's ids of those that it stops early."""
        self._trials_of = trials_of
        self._pruned = pruned
        self._chooser = chooser
        self._receiver = receiver
        receiver.leave_off_when(lambda: signals.came is not None)
        self._folder = folder
        self._monitors = monitors
        self._stop = stop
        self._signals = signals
        self._ended: set[str] = set()
        """By trial_id, those that have reported their end."""
        self._said: dict[str, str] = {}
        """By trial_id, what one that ran out of memory said of it."""
        self._unsent: dict[str, str] = {}
        """By trial_id, what kept one from its storage."""
        self._lacking: set[str] = set()
        """Nodes that have given a trial back."""

    @override
    def setup(self, *args: Any, **info: Any) -> None:
        self._signals.listen()  # Tune has taken SIGUSR1 for itself

    @override
    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        for ours in self._open(trial):
            self._said.pop(ours.trial_id, None)
            self._unsent.pop(ours.trial_id, None)
            self._monitors.started(ours)

    @override
    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        ours = {one.trial_id: one for one in self._trials_of(trial.config)}
        match result:
            case {"event": "epoch", "rows": rows}:
                for trial_id, row in rows.items():
                    self._receive(self._receiver.epoch, ours[trial_id], row)
                    self._monitors.epoch(ours[trial_id], row)
            case {"event": "spent", "trial": trial_id, "account": account}:
                self._receive(self._receiver.spent, ours[trial_id], account)
            case {"event": "handed back", "node": node, "why": why}:
                self._give_back(trial, f"{node} {why}", is_news=node not in self._lacking)
                self._lacking.add(node)
            case {"event": "notice", "trial": trial_id, "text": text}:
                self._monitors.noticed(ours[trial_id], text)
            case {"event": "finished", "trial": trial_id, "scores": scores} if self._is_news(trial_id):
                self._finish(ours[trial_id], scores)
            case {"event": "failed", "trial": trial_id, "reason": reason} if self._is_news(trial_id):
                how = (result["status"], reason, result["detail"])
                self._receive(self._receiver.failed, ours[trial_id], *how)
                self._monitors.failed(ours[trial_id], reason)
            case {"event": "no storage", "said": said}:
                self._unsent.update({one.trial_id: said for one in self._open(trial)})
            case {"event": "out of memory", "said": said}:
                self._said.update({one.trial_id: said for one in self._open(trial)})
            case {"event": "full disk", "what": what}:
                self._stop.halted = what

    @override
    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        for ours in self._open(trial) if trial.trial_id in self._pruned else ():
            row = trial.last_result["rows"][ours.trial_id]
            try:
                self._receiver.prune(ours, Pruned(epochs=round(row["epoch"]), scores=scored(row)))
            except OSError as error:
                self._stop.halted = unwritten(error)  # else it would be trained further at the next start, unseen
            else:
                self._ended.add(ours.trial_id)
                self._monitors.pruned(ours, row)

    @override
    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._chooser.lose(trial.trial_id)
        left = self._open(trial)
        trial.config["trial_ids"] = [ours.trial_id for ours in left]  # of the others its next node has nothing
        for ours in left:
            what = "ran out of memory" if ours.trial_id in self._said else "lost its worker"
            what = "lost its storage" if ours.trial_id in self._unsent else what
            again = "goes on from its last checkpoint" if self._receiver.has_epochs(ours) else "starts again"
            notice = f"{what} and {again}"
            with contextlib.suppress(OSError):  # an exception here would end the sweep
                self._folder.trial(ours.trial_id).note(notice)
            self._monitors.noticed(ours, notice)

    @override
    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        for ours in self._open(trial):
            reason = f"its worker died {CRASHES + 1} times; out of memory is the usual cause: {WHAT_TO_DO}"
            if ours.trial_id in self._said:
                reason = f"out of memory {CRASHES + 1} times ({self._said[ours.trial_id]}): {WHAT_TO_DO}"
            if ours.trial_id in self._unsent:
                reason = self._unsent[ours.trial_id]
            with contextlib.suppress(OSError):  # an exception here would end the sweep
                self._folder.trial(ours.trial_id).fail("failed", reason, _said_by_ray(trial))
            self._monitors.failed(ours, reason)

    def __getstate__(self) -> dict[str, Any]:
        """Tune writes its callbacks to disk; monitors, with their threads and terminals, live in this process."""
        return {}

    def _is_news(self, trial_id: str) -> bool:
        """Whether nobody has been told of the trial's end; from now on everybody has."""
        is_news = trial_id not in self._ended
        self._ended.add(trial_id)
        return is_news

    def _finish(self, trial: Trial, scores: Mapping[str, float]) -> None:
        """Have the result in the sweep's folder and tell of it; where it cannot be had it stays in the storage."""
        try:
            why = self._receiver.finished(trial)
        except OSError as error:
            self._stop.halted = unwritten(error)
        except LedgerError as error:
            self._stop.halted = str(error)
        else:
            if why is None:
                self._monitors.finished(trial, scores)
            else:
                self._monitors.failed(trial, why)

    def _give_back(self, trial: Any, lacking: str, *, is_news: bool) -> None:
        """Leave the trials to other nodes; Tune's own trial is that of none from now on, and keeps its slot."""
        ours = self._open(trial)
        if ours and is_news:
            self._monitors.noticed(ours[0], f"is left to other nodes, as all trials are: {lacking}")
        self._stop.lacking = lacking
        trial.config["trial_ids"] = []
        self._chooser.give_back(trial.trial_id)

    def _receive(self, receive: Callable[..., None], *what: Any) -> None:
        """Write down what a worker elsewhere tells; a folder that cannot be written ends the sweep in order."""
        try:
            receive(*what)
        except OSError as error:
            self._stop.halted = unwritten(error)
        except LedgerError as error:
            self._stop.halted = str(error)

    def _open(self, trial: Any) -> list[Trial]:
        """Those of ours that Tune's trial runs and that have not ended."""
        return [one for one in self._trials_of(trial.config) if one.trial_id not in self._ended]


def _said_by_ray(trial: Any) -> str:
    """Ray's account of the trial's deaths; empty where it left none."""
    try:
        return Path(trial.error_file or "").read_text()
    except OSError:
        return ""


class Tally(Monitor):
    """The monitor that counts, and keeps the budget's books."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.finished_ids: set[str] = set()
        self.pruned_ids: set[str] = set()
        self.failed_ids: set[str] = set()

    @override
    def started(self, trial: Trial) -> None:
        pass

    @override
    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:
        pass

    @override
    def noticed(self, trial: Trial, what: str) -> None:
        pass

    @override
    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        self._settle(trial, self.finished_ids, done=True)

    @override
    def pruned(self, trial: Trial, row: Mapping[str, float]) -> None:
        self._settle(trial, self.pruned_ids, done=False)

    @override
    def failed(self, trial: Trial, reason: str) -> None:
        self._settle(trial, self.failed_ids, done=False)

    def _settle(self, trial: Trial, ids: set[str], *, done: bool) -> None:
        """Once a trial: one that lost its worker after its report reports again."""
        if trial.trial_id not in ids:
            ids.add(trial.trial_id)
            self._budget.settle(trial.trial_id, done=done)
