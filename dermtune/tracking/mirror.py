"""A sweep's tree of runs in MLflow, and how a trial's folder gets into it."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dermtune.ledger import SweepFolder
from dermtune.plan import Plan, Trial
from dermtune.tracking import summary, views
from dermtune.tracking.store import PARENT_TAG, Store, StoredRun
from dermtune.tracking.views import NOTE_TAG, SWEEP_TAG, TRIAL_TAG, Chosen, Point, Status, TrialView

CURVE = "train/loss"
"""A metric that every epoch has: its steps in MLflow tell which epochs have arrived."""


class Mirror:
    """The sweep's parent run and its trials' runs: what the store holds, and what has to be sent.

    It asks the store once, when it is made. After an error it may be wrong: make a new one. Every method may raise
    what MLflow raises, and OSError or ValueError for a damaged folder.
    """

    def __init__(self, uri: str, plan: Plan, folder: SweepFolder, question: str) -> None:
        self._plan, self._folder, self._question = plan, folder, question
        self._store = Store(uri, plan.sweep.name, question)
        self._dataset = views.describe_dataset(plan)
        self._parent = self._open_parent()
        self._runs = self._stored_trials()
        self._steps: dict[str, set[int]] = {}

    def is_settled(self, trial: Trial) -> bool:
        """Whether the store has all that the trial's folder will ever hold."""
        run = self._runs.get(trial.trial_id)
        return run is not None and run.status == "FINISHED"

    def show(self, trial: Trial, *, running: bool) -> None:
        """Make the trial's run equal to its folder: what has arrived is not sent again, the status comes last."""
        view = views.view_trial(self._folder.trial(trial.trial_id), running=running)
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
        self._steps[run.run_id] |= {point.step for point in view.curves}
        self._runs[trial.trial_id] = replace(
            run,
            status=view.status,
            tags={**run.tags, **tags},
            metrics={**run.metrics, **{point.key: point.value for point in points}},
            has_params=True,
        )

    def show_report(self, paths: Sequence[Path]) -> None:
        """Store the files on the parent run; the Markdown becomes its description, the JSON its metrics."""
        for path in paths:
            self._store.attach(self._parent, path)
        files = list(_files(paths))
        markdown = "\n\n".join(path.read_text("utf-8") for path in files if path.suffix == ".md")
        self._parent = self._tell(self._parent, {}, {NOTE_TAG: self._description(markdown)})
        for path in files:
            if path.suffix == ".json":
                self._show_judged(json.loads(path.read_text("utf-8")))

    def show_model(self, chosen: Chosen) -> None:
        """Log the chosen trial's model, once, as an output of its run; the parent's tags say which it is."""
        view = views.view_model(self._plan, chosen, self._folder.trial(chosen.trial.trial_id))
        model_id = self._store.log_model(self._runs[chosen.trial.trial_id], view)
        tags = {"model": f"models:/{model_id}", "model.trial": chosen.trial.title, "model.chosen": chosen.why}
        self._parent = self._tell(self._parent, {}, tags)

    def end(self, status: Status) -> None:
        """End the parent run."""
        self._store.set_status(self._parent, status)

    def _open_parent(self) -> StoredRun:
        """The sweep's run, found or made, and RUNNING."""
        tags = views.sweep_tags(self._plan)
        run = self._store.find_one(SWEEP_TAG, tags[SWEEP_TAG])
        if run is None:
            run = self._store.create(views.sweep_title(self._plan), tags)
        if run.status != "RUNNING":
            self._store.set_status(run, "RUNNING")
        if run.has_params:
            self._store.log(run, tags=_changed(run, tags))
            return run
        self._store.log_dataset(run, self._dataset)
        self._store.log(run, params=views.sweep_params(self._plan), tags={NOTE_TAG: self._description()})
        return run

    def _description(self, report: str = "") -> str:
        return views.describe_sweep(self._plan, self._question, self._folder.path, report)

    def _stored_trials(self) -> dict[str, StoredRun]:
        """The children by trial_id. A request that was cut off may have made a second run: the older one stays."""
        runs: dict[str, StoredRun] = {}
        for run in self._store.find(PARENT_TAG, self._parent.run_id):
            if runs.setdefault(run.tags.get(TRIAL_TAG, run.run_id), run) is not run:
                self._store.delete(run)
        return runs

    def _create(self, trial: Trial, view: TrialView) -> StoredRun:
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
        return curves + [point for point in view.scores if run.metrics.get(point.key) != point.value]

    def _show_judged(self, report: Mapping[str, Any]) -> None:
        """The report's figures and verdicts on the parent run, its arm's verdict and its delta on each trial's."""
        self._parent = self._tell(self._parent, summary.summary_metrics(report), summary.summary_tags(report))
        verdicts, deltas = summary.verdicts(report), summary.seed_deltas(report)
        for trial in self._plan.trials:
            if run := self._runs.get(trial.trial_id):
                delta = deltas.get((trial.arm, trial.seed))
                figures = {} if delta is None else {f"delta/{report['metric']}": delta}
                tags = {"verdict": verdicts.get(trial.arm, trial.arm)} if verdicts else {}
                self._runs[trial.trial_id] = self._tell(run, figures, tags)

    def _tell(self, run: StoredRun, figures: Mapping[str, float], tags: Mapping[str, str]) -> StoredRun:
        """The run after it has these figures and tags; only those that differ are sent."""
        new = {key: value for key, value in figures.items() if run.metrics.get(key) != value}
        seconds = time.time() - run.started_ms / 1000
        points = [Point(key=k, value=v, step=views.NO_STEP, seconds=seconds) for k, v in new.items()]
        self._store.log(run, points=points, tags=_changed(run, tags))
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
