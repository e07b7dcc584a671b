"""Keeps MLflow equal to a sweep's folder from a thread of its own; whatever MLflow does, training goes on."""

import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dermtune.ledger import SweepFolder
from dermtune.plan import Plan, Trial
from dermtune.tracking.backlog import Backlog
from dermtune.tracking.patience import configure, seconds_to_send
from dermtune.tracking.reasons import reason
from dermtune.tracking.views import Chosen, Status
from dermtune.uris import shown, without_secrets

if TYPE_CHECKING:
    from dermtune.tracking.mirror import Mirror

PAUSE_SECONDS = 2.0
"""Shortest time between two looks at the folder."""
LONGEST_PAUSE_SECONDS = 30.0
"""Longest time between two attempts while MLflow cannot be reached."""
LAST_ATTEMPTS = 3
"""Attempts at the end that may fail one after another."""
LAST_PAUSE_SECONDS = 1.0
"""Time between them."""
SILENCE_SECONDS = 20.0
"""Time at the end without an answer after which no further attempt is made."""
PATIENCE_SECONDS = 60.0
"""Longest wait at the end for an attempt that does not come to an end itself, beside what files take."""
LOCAL_PATIENCE_SECONDS = 600.0
"""The same of a file on this machine: a busy one may take long, and nothing there is silent for ever."""
HURRY_SECONDS = 1.5
"""Longest wait of a driver that was told to stop."""

_log = logging.getLogger(__name__)


class Exporter:
    """A monitor of the tuner that shows the sweep in MLflow: a parent run, a child run a trial.

    The monitor's methods only wake the thread. An MLflow error is logged once, and what was not sent is sent at the
    next look; what is left at the end is sent by the next exporter of the same folder. `on_look` is told how many
    trials have been looked at.
    """

    def __init__(
        self,
        uri: str,
        plan: Plan,
        folder: SweepFolder,
        question: str,
        on_look: Callable[[int], None] | None = None,
    ) -> None:
        self.n_errors = 0
        """Attempts that failed, by MLflow or by a damaged folder."""
        self.why = "it does not answer"
        """Why the last of them failed, a clause."""
        self.written: set[str] = set()
        """Ids of the runs that something was sent to."""
        self._on_look = on_look
        self._uri, self._plan, self._folder, self._question = uri, plan, folder, question
        self._backlog, self._n_trials = Backlog(plan.trials), len(plan.trials)
        self._attached: tuple[Path, ...] = ()
        self._chosen: Chosen | None = None
        self._mirror: Mirror | None = None
        self._state = threading.Lock()
        self._syncing = threading.Lock()
        self._wake = threading.Event()
        self._ending: Status | None = None
        self._is_local = uri.startswith("sqlite")
        self._hurried = False
        self._complete = False
        self._answered = 0.0
        """When MLflow last answered, or was first asked, by the monotonic clock."""
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._keep_in_step, name="mlflow-exporter", daemon=True)

    def start(self) -> None:
        """Begin to export; returns at once, MLflow is imported in the thread."""
        self._wake.set()
        self._thread.start()

    def started(self, trial: Trial) -> None:
        """The trial trains in this driver now."""
        self._backlog.started(trial)
        self._wake.set()

    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:  # noqa: ARG002 the folder has the row
        """The trial's folder has a further epoch."""
        self._backlog.add(trial)
        self._wake.set()

    def noticed(self, trial: Trial, what: str) -> None:
        """The trial's folder will tell, if it is to be told."""

    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:  # noqa: ARG002 the folder has them
        """The trial's folder has its manifest."""
        self._backlog.stopped(trial)
        self._wake.set()

    def pruned(self, trial: Trial, row: Mapping[str, float]) -> None:  # noqa: ARG002 the folder has it
        """The trial's folder says that a search has stopped it early."""
        self._backlog.stopped(trial)
        self._wake.set()

    def failed(self, trial: Trial, reason: str) -> None:  # noqa: ARG002 the folder has it
        """The trial's folder says why it has no result."""
        self._backlog.stopped(trial)
        self._wake.set()

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

    def close(self, *, interrupted: bool) -> bool:
        """Whether all is in MLflow, after what is left was sent and the sweep's run ended; if not, a line says so.

        A driver that was told to stop waits a second or two for it, any other as long as MLflow answers.
        """
        self._backlog.all_stopped()
        complete = self.finish("KILLED" if interrupted else "FINISHED", HURRY_SECONDS if interrupted else None)
        if not complete:
            _log.warning(
                "MLflow at %s is not up to date: %s; the same command again completes it, and so does "
                "`python -m dermtune.export %s --tracking-uri %s`",
                *(shown(self._uri), self.why, os.path.relpath(self._folder.path), shown(self._uri)),
            )
        return complete

    def abandon(self) -> None:
        """Send no more and say no more: the next exporter of the folder sends what is left."""
        self._given_up.set()
        self._closing.set()

    def finish(self, status: Status, seconds: float | None = None) -> bool:
        """Whether all is in MLflow, the sweep's run with this status, so many seconds later at most.

        Without a limit it is given up when MLflow does not answer any more.
        """
        self._ending, self._hurried = status, seconds is not None
        self._answered = time.monotonic()
        limit = math.inf if seconds is None else self._answered + seconds
        patience = self._patience()
        self._closing.set()
        self._wake.set()
        if self._thread.ident is None:
            self._thread.start()
        while self._thread.is_alive() and time.monotonic() < limit and self._silence() < patience:
            self._thread.join(0.05)
        self._given_up.set()
        return self._complete

    def sync(self) -> None:
        """Make the runs in MLflow equal to the folder; what is equal already costs nothing.

        Raises what MLflow or a damaged folder raises; the thread catches it, says it and tries again.
        """
        with self._syncing:
            try:
                mirror = self._mirror = self._mirror or self._connected()
                if self._ending is None:
                    mirror.show_status("RUNNING")
                while (trial := self._backlog.take()) is not None:
                    self._show(mirror, trial)
                self._show_report(mirror)
                self._show_model(mirror)
                if self._ending is not None:
                    mirror.show_status(self._ending)
            except Exception:
                self._mirror = None  # what it knows of the store may be wrong now
                raise

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
        self._complete = self._look_to_the_end()

    def _look_to_the_end(self) -> bool:
        """Whether a last look found all in MLflow.

        It looks afresh at every trial that is not settled, and at runs that another exporter made. Where it made
        one itself, that other may have made the same at the same time, so it looks again. In a hurry there is one
        look, at what is known.
        """
        failures = 0
        longest = LOCAL_PATIENCE_SECONDS if self._is_local else SILENCE_SECONDS
        while failures < LAST_ATTEMPTS and self._silence() < longest and not self._given_up.is_set():
            if not self._hurried:
                self._mirror = None
            if self._try_sync():
                if self._hurried or not self._n_created():
                    return True
            else:
                failures += 1
                self._given_up.wait(LAST_PAUSE_SECONDS)
        return False

    def _n_created(self) -> int:
        return self._mirror.n_created if self._mirror else 0

    def _silence(self) -> float:
        """Seconds since MLflow last answered."""
        return time.monotonic() - self._answered

    def _try_sync(self) -> bool:
        """Whether all is in MLflow now."""
        try:
            self.sync()
        except Exception as error:  # noqa: BLE001 nothing that MLflow raises may reach the training
            self.n_errors += 1
            self.why = without_secrets(reason(error), self._uri)
            if self.n_errors == 1 and self._ending is None and not self._given_up.is_set():
                where = shown(self._uri)
                _log.warning("MLflow at %s: %s; training goes on, this is sent later", where, self.why)
            return False
        return True

    def _patience(self) -> float:
        """Seconds that one attempt may take: longer while files are sent."""
        model = [self._folder.trial(self._chosen.trial.trial_id).model] if self._chosen else []
        usual = LOCAL_PATIENCE_SECONDS if self._is_local else PATIENCE_SECONDS
        return usual + seconds_to_send([*self._attached, *model])

    def _connected(self) -> "Mirror":
        configure()
        asked_before = "mlflow" in sys.modules
        # Imported here because MLflow takes seconds, and reads its settings as it is imported.
        from dermtune.tracking.mirror import Mirror

        if not asked_before:
            self._answered = time.monotonic()
        mirror = Mirror(self._uri, self._plan, self._folder, self._question)
        mirror.written = self.written = self.written | mirror.written
        self._answered = time.monotonic()
        self._backlog.review(mirror.is_settled)
        return mirror

    def _show(self, mirror: "Mirror", trial: Trial) -> None:
        try:
            mirror.show(trial, running=self._backlog.is_running(trial))
        except Exception:
            self._backlog.add(trial)
            raise
        self._answered = time.monotonic()
        if self._on_look:
            self._on_look(self._n_trials - len(self._backlog))

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
