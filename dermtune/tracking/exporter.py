"""Keeps MLflow equal to a sweep's folder from a thread of its own; whatever MLflow does, training goes on."""

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from dermtune.ledger import SweepFolder
from dermtune.plan import Plan, Trial
from dermtune.tracking.views import Chosen

if TYPE_CHECKING:
    from dermtune.tracking.mirror import Mirror

PAUSE_SECONDS = 2.0
"""Shortest time between two looks at the folder."""
LONGEST_PAUSE_SECONDS = 30.0
"""Longest time between two attempts while MLflow cannot be reached."""
LAST_ATTEMPTS = 3

MLFLOW_DEFAULTS = {
    # The exporter's own retry asks first what has arrived; MLflow's repeats a request blindly, for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Settings for this process where the user has made none."""

_log = logging.getLogger(__name__)


class Exporter:
    """A monitor of the tuner that shows the sweep in MLflow: a parent run, a child run a trial.

    The monitor's methods only wake the thread. An MLflow error is logged once, and what was not sent is sent at the
    next look; what is left at the end is sent by the next exporter of the same folder.
    """

    def __init__(self, uri: str, plan: Plan, folder: SweepFolder, question: str) -> None:
        self.n_errors = 0
        """Attempts that failed, by MLflow or by a damaged folder."""
        self._uri, self._plan, self._folder, self._question = uri, plan, folder, question
        self._trials = {trial.trial_id: trial for trial in plan.trials}
        self._due = dict.fromkeys(self._trials)
        """Trials to look at, as an ordered set: one that failed goes to the back, so it holds up no other."""
        self._running: set[str] = set()
        self._attached: tuple[Path, ...] = ()
        self._chosen: Chosen | None = None
        self._mirror: Mirror | None = None
        self._state = threading.Lock()
        self._syncing = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_in_step, name="mlflow-exporter", daemon=True)

    def start(self) -> None:
        """Begin to export; returns at once, MLflow is imported in the thread."""
        self._wake.set()
        self._thread.start()

    def started(self, trial: Trial) -> None:
        """The trial trains in this driver now."""
        with self._state:
            self._running.add(trial.trial_id)
        self._look_at(trial)

    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:  # noqa: ARG002 the folder has the row
        """The trial's folder has a further epoch."""
        self._look_at(trial)

    def noticed(self, trial: Trial, what: str) -> None:
        """The trial's folder will tell, if it is to be told."""

    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:  # noqa: ARG002 the folder has them
        """The trial's folder has its manifest."""
        self._stopped(trial)

    def failed(self, trial: Trial, reason: str) -> None:  # noqa: ARG002 the folder has it
        """The trial's folder says why it has no result."""
        self._stopped(trial)

    def attach(self, paths: Sequence[Path]) -> None:
        """Show files and folders on the parent run; Markdown becomes its description, JSON its summary metrics."""
        with self._state:
            self._attached = tuple(paths)
        self._wake.set()

    def offer(self, chosen: Chosen) -> None:
        """Log the trial's model, which its folder must hold until the exporter is closed."""
        with self._state:
            self._chosen = chosen
        self._wake.set()

    def close(self, *, interrupted: bool) -> None:
        """Send what is left, end the parent run, and say what could not be sent."""
        with self._state:
            self._due |= dict.fromkeys(self._running)
            self._running.clear()
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        status: Literal["KILLED", "FINISHED"] = "KILLED" if interrupted else "FINISHED"
        if not any(self._try_sync(end=status) for _ in range(LAST_ATTEMPTS)):
            _log.warning("MLflow at %s is not up to date; the same command again completes it", _shown(self._uri))

    def sync(self) -> None:
        """Make the runs in MLflow equal to the folder; what is equal already costs nothing.

        Raises what MLflow or a damaged folder raises; the thread catches it, says it and tries again.
        """
        with self._syncing:
            try:
                mirror = self._mirror = self._mirror or self._connected()
                while (trial := self._next_due()) is not None:
                    self._show(mirror, trial)
                self._show_report(mirror)
                self._show_model(mirror)
            except Exception:
                self._mirror = None  # what it knows of the store may be wrong now
                raise

    def _look_at(self, trial: Trial) -> None:
        with self._state:
            self._due[trial.trial_id] = None
        self._wake.set()

    def _stopped(self, trial: Trial) -> None:
        with self._state:
            self._running.discard(trial.trial_id)
        self._look_at(trial)

    def _keep_in_step(self) -> None:
        pause = PAUSE_SECONDS
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._try_sync():
                pause = PAUSE_SECONDS
            else:
                self._wake.set()
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            self._closing.wait(pause)

    def _try_sync(self, *, end: Literal["KILLED", "FINISHED"] | None = None) -> bool:
        """Whether all is in MLflow now, and the parent run ended where `end` says how."""
        try:
            self.sync()
            if end is not None and self._mirror is not None:
                self._mirror.end(end)
        except Exception as error:  # noqa: BLE001 nothing that MLflow raises may reach the training
            self.n_errors += 1
            self._say(error)
            return False
        return True

    def _say(self, error: Exception) -> None:
        level = logging.WARNING if self.n_errors == 1 else logging.DEBUG
        text = _without_password(str(error), self._uri).partition("\n")[0]
        _log.log(level, "MLflow at %s: %s; training goes on, this is sent later", _shown(self._uri), text)

    def _connected(self) -> "Mirror":
        os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
        for name, value in MLFLOW_DEFAULTS.items():
            os.environ.setdefault(name, value)
        # Imported here because MLflow takes seconds, and reads its settings as it is imported.
        from dermtune.tracking.mirror import Mirror

        mirror = Mirror(self._uri, self._plan, self._folder, self._question)
        with self._state:
            for trial_id, trial in self._trials.items():
                if not mirror.is_settled(trial):
                    self._due.setdefault(trial_id)
                elif trial_id not in self._running:
                    self._due.pop(trial_id, None)
        return mirror

    def _next_due(self) -> Trial | None:
        with self._state:
            trial_id = next(iter(self._due), None)
            if trial_id is None:
                return None
            del self._due[trial_id]
            return self._trials[trial_id]

    def _show(self, mirror: "Mirror", trial: Trial) -> None:
        try:
            mirror.show(trial, running=trial.trial_id in self._running)
        except Exception:
            with self._state:
                self._due[trial.trial_id] = None
            raise

    def _show_report(self, mirror: "Mirror") -> None:
        paths = self._attached
        if paths:
            mirror.show_report(paths)
            with self._state:
                self._attached = () if self._attached == paths else self._attached

    def _show_model(self, mirror: "Mirror") -> None:
        chosen = self._chosen
        if chosen:
            mirror.show_model(chosen)
            with self._state:
                self._chosen = None if self._chosen is chosen else self._chosen


def _shown(uri: str) -> str:
    """The URI as it may stand in a log."""
    return _without_password(uri, uri)


def _without_password(text: str, uri: str) -> str:
    user_info, at, _ = urlsplit(uri).netloc.rpartition("@")
    return text.replace(user_info + at, "") if at else text
