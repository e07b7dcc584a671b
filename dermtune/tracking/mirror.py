"""A sweep's tree of runs in MLflow, and how a trial's folder gets into it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dermtune.ledger import SweepFolder
from dermtune.plan import Plan, Trial
from dermtune.tracking import summary, views
from dermtune.tracking.store import PARENT_TAG, Store, StoredRun
from dermtune.tracking.views import (
    NOTE_TAG,
    REPORT_TAG,
    SWEEP_TAG,
    TRIAL_TAG,
    Chosen,
    Point,
    Status,
    TrialView,
)

CURVE = "train/loss"
"""A metric that every epoch has: its steps in MLflow tell which epochs have arrived."""


class Mirror:
    """The sweep's parent run and its trials' runs: what the store holds, and what has to be sent.

    It asks the store once, when it is made. After an error it may be wrong, and so it may where another exporter
    writes to the same runs: make a new one. Every method may raise what MLflow raises, and OSError or ValueError
    for a damaged folder.
    """

    def __init__(self, uri: str, plan: Plan, folder: SweepFolder, question: str) -> None:
        self.n_created = 0
        """Runs that were not there, so another exporter may have made them at the same time."""
        self.written: set[str] = set()
        """Ids of the runs that something was sent to."""
        self._plan, self._folder, self._question = plan, folder, question
        self._store = Store(uri, plan.sweep.name, question)
        self._dataset = views.describe_dataset(plan)
        self._parent, doubled = self._open_parent()
        self._runs = self._stored_trials(doubled)
        self._steps: dict[str, set[int]] = {}

    def is_settled(self, trial: Trial) -> bool:
        """Whether the store has all that the trial's folder will ever hold."""
        run = self._runs.get(trial.trial_id)
        return run is not None and run.status == "FINISHED"

    def show(self, trial: Trial, *, running: bool) -> None:
        """Make the trial's run equal to its folder: what has arrived is not sent again, the status comes last."""
        # Nobody is to look at test while arms are picked.
        splits = ("val",) if self._plan.stage else ("val", "test")
        view = views.view_trial(self._folder.trial(trial.trial_id), running=running, splits=splits)
        run = self._runs.get(trial.trial_id)
        if run is None:
            if not view.begun:
                return
            run = self._create(trial, view)
        if not run.has_params:
            self._store.log_dataset(run, self._dataset)
        points = self._new_points(run, view)
        params = {} if run.has_params else views.trial_params(trial)
        tags = _changed_tags(run, view)
        self._store.log(run, points=points, params=params, tags=tags)
        if view.status != run.status:
            self._store.set_status(run, view.status, view.seconds)
        if points or params or tags or view.status != run.status:
            self.written.add(run.run_id)
        self._steps[run.run_id] |= {point.step for point in view.curves}
        self._runs[trial.trial_id] = replace(
            run,
            status=view.status,
            tags={**run.tags, **tags},
            metrics={**run.metrics, **{point.key: point.value for point in points}},
            has_params=True,
        )

    def show_report(self, paths: Sequence[Path]) -> None:
        """Store the files on the parent run; the Markdown becomes its description, the JSON its metrics.

        Files that are there already are not sent again: the run has their hash, written when all had arrived.
        """
        files = list(_files(paths))
        digest = views.digest_files(paths)
        if self._parent.tags.get(REPORT_TAG) != digest:
            for path in paths:
                self._store.attach(self._parent, path)
        markdown = "\n\n".join(path.read_text("utf-8") for path in files if path.suffix == ".md")
        tags = {NOTE_TAG: self._description(markdown), REPORT_TAG: digest}
        self._parent = self._tell(self._parent, {}, tags, at=0.0)
        for path in files:
            if path.suffix == ".json":
                document, at = json.loads(path.read_text("utf-8")), path.stat().st_mtime
                if self._plan.stage:
                    self._show_selected(document, at=at)
                else:
                    self._show_judged(document, at=at)

    def show_model(self, chosen: Chosen) -> None:
        """Log the chosen trial's model, once, as an output of its run; the parent's tags say which it is."""
        view = views.view_model(self._plan, chosen, self._folder.trial(chosen.trial.trial_id))
        model_id = self._store.log_model(self._runs[chosen.trial.trial_id], view)
        tags = {"model": f"models:/{model_id}", "model.trial": chosen.trial.title, "model.chosen": chosen.why}
        self._parent = self._tell(self._parent, {}, tags, at=0.0)

    def show_status(self, status: Status) -> None:
        """Show the sweep as running, or end its run, and with it those of trials that the plan no longer has."""
        if status != "RUNNING":
            planned = {trial.trial_id for trial in self._plan.trials}
            for trial_id, run in self._runs.items():
                if run.status == "RUNNING" and trial_id not in planned:
                    self._runs[trial_id] = self._with_status(run, "KILLED")
        self._parent = self._with_status(self._parent, status)

    def _with_status(self, run: StoredRun, status: Status) -> StoredRun:
        if run.status == status:
            return run
        self._store.set_status(run, status)
        self.written.add(run.run_id)
        return replace(run, status=status)

    def _open_parent(self) -> tuple[StoredRun, list[StoredRun]]:
        """The sweep's run, found or made, and further ones that another exporter made at the same time."""
        tags = views.sweep_tags(self._plan)
        run, *doubled = self._store.find(SWEEP_TAG, tags[SWEEP_TAG]) or [self._created_parent(tags)]
        if not run.has_params:
            self._store.log_dataset(run, self._dataset)
            self._store.log(run, params=views.sweep_params(self._plan))
        tags.setdefault(NOTE_TAG, run.tags.get(NOTE_TAG) or self._description())
        return self._tell(run, {}, tags, at=0.0), doubled

    def _created_parent(self, tags: Mapping[str, str]) -> StoredRun:
        self.n_created += 1
        return self._store.create(views.sweep_title(self._plan), tags)

    def _description(self, report: str = "") -> str:
        return views.describe_sweep(self._plan, self._question, self._folder.path, report)

    def _stored_trials(self, doubled: Sequence[StoredRun]) -> dict[str, StoredRun]:
        """The children by trial_id, those of a doubled parent as well, which goes.

        A request that was cut off, or another exporter, may have made a second run of a trial: the oldest stays.
        And a doubled parent may have gone while its exporter still made runs below it.
        """
        runs: dict[str, StoredRun] = {}
        binned = self._store.find(SWEEP_TAG, self._parent.tags[SWEEP_TAG], binned=True)
        for parent in (self._parent, *doubled, *binned):
            for run in self._store.find(PARENT_TAG, parent.run_id):
                trial_id = run.tags.get(TRIAL_TAG, run.run_id)
                if trial_id in runs:
                    self._store.delete(run)
                else:
                    runs[trial_id] = self._tell(run, {}, {PARENT_TAG: self._parent.run_id}, at=0.0)
        for parent in doubled:
            self._store.delete(parent)
        return runs

    def _create(self, trial: Trial, view: TrialView) -> StoredRun:
        self.n_created += 1
        since_end = 0.0 if view.finished is None else (datetime.now(UTC) - view.finished).total_seconds()
        return self._store.create(
            trial.title,
            views.trial_tags(self._plan, trial),
            ago_seconds=since_end + view.seconds,
            parent=self._parent.run_id,
        )

    def _new_points(self, run: StoredRun, view: TrialView) -> list[Point]:
        steps = self._steps.setdefault(run.run_id, set(self._store.steps(run, CURVE)))
        curves = [point for point in view.curves if point.step not in steps]
        # An epoch may be cut in two by the size of a batch: what tells that it has arrived comes last of it.
        curves.sort(key=lambda point: (point.step, point.key == CURVE))
        return curves + [point for point in view.scores if run.metrics.get(point.key) != point.value]

    def _show_judged(self, report: Mapping[str, Any], *, at: float) -> None:
        """The report's figures and verdicts on the parent run, its arm's verdict and its delta on each trial's.

        `at` is when it was written, in Unix seconds.
        """
        metrics, tags = summary.summary_metrics(report), summary.summary_tags(report)
        self._parent = self._tell(self._parent, metrics, tags, at=at)
        verdicts, deltas = summary.verdicts(report), summary.seed_deltas(report)
        for trial in self._plan.trials:
            if run := self._runs.get(trial.trial_id):
                delta = deltas.get((trial.arm, trial.seed))
                figures = {} if delta is None else {f"delta/{report['metric']}": delta}
                tags = {"verdict": verdicts.get(trial.arm, trial.arm)} if verdicts else {}
                self._runs[trial.trial_id] = self._tell(run, figures, tags, at=at)

    def _show_selected(self, selection: Mapping[str, Any], *, at: float) -> None:
        """What a first stage picked and what its levers matter, on the parent run; `picked` on those that were."""
        metrics, tags = summary.selection_metrics(selection), summary.selection_tags(selection)
        self._parent = self._tell(self._parent, metrics, tags, at=at)
        for trial_id, arm in summary.picked_trials(selection).items():
            if run := self._runs.get(trial_id):
                self._runs[trial_id] = self._tell(run, {}, {"picked": arm}, at=at)

    def _tell(
        self, run: StoredRun, figures: Mapping[str, float], tags: Mapping[str, str], *, at: float
    ) -> StoredRun:
        """The run after it has these figures, of the time `at`, and tags; only those that differ are sent."""
        new = {key: value for key, value in figures.items() if run.metrics.get(key) != value}
        seconds = max(0.0, at - run.started_ms / 1000)
        points = [Point(key=k, value=v, step=views.NO_STEP, seconds=seconds) for k, v in new.items()]
        changed = _changed(run, tags)
        if points or changed:
            self._store.log(run, points=points, tags=changed)
            self.written.add(run.run_id)
        return replace(run, metrics={**run.metrics, **new}, tags={**run.tags, **tags})


def _changed_tags(run: StoredRun, view: TrialView) -> dict[str, str]:
    """Tags that differ; the note of an earlier failure is blanked once it no longer holds."""
    wanted = {NOTE_TAG: "", **view.tags} if NOTE_TAG in run.tags else view.tags
    return _changed(run, wanted)


def _changed(run: StoredRun, tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if run.tags.get(key) != value}


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        yield from sorted(path.iterdir()) if path.is_dir() else [path]
