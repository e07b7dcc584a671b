"""From the command line to all that a sweep needs, each part checked before anything is started."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from analysis.earlier import measured
from analysis.metrics import MetricError, metric_named
from analysis.planning import ASSUMED, Variation
from analysis.sources import load_study
from analysis.study import SourceError, Study
from dermtune.arguments import Arguments
from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.config import UserError
from dermtune.data.dataset import Dataset, Split, open_dataset
from dermtune.data.place import Place
from dermtune.data.quarantine import Quarantine
from dermtune.depot import Depot
from dermtune.firstplan import First
from dermtune.forecast import FirstStage, Forecast, Known, Pace, forecast, pace
from dermtune.ledger import SweepFolder
from dermtune.loading import load_recipe, load_sweep
from dermtune.machines import Machines
from dermtune.opened import fingerprints
from dermtune.plan import Plan, Sweep, Trial
from dermtune.recipes import MicroBatch, Recipe
from dermtune.sharing import Occupied, occupied
from dermtune.spared import spared_in
from dermtune.staging import Stages, Staging
from dermtune.steps import steps
from dermtune.timing import MOST_BESIDE, Asked, kind_of, this_machine, timings_kept

Manifests = Mapping[str, Mapping[str, Any]]
"""Of done trials, by trial_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One sweep on one recipe on this machine."""

    asked: Arguments
    plan: Plan
    """What is judged; of a sweep with a first stage that has not ended, as many arms as it may find."""
    question: str
    """The sweep file's first line."""
    recipe: Recipe
    place: Place
    classes: tuple[str, ...]
    folder: SweepFolder
    quarantine: Quarantine = field(default_factory=Quarantine)
    """Images that no trial sees."""
    first: First | None = None
    """The stage that finds the plan's arms; None where the sweep file names them."""
    staging: Staging | None = None
    """What plans both stages anew, once more is known of the first."""
    depot: Depot | None = None
    """By what way results come from nodes that do not see the folder; None where all do."""
    test_images: Mapping[str, int] = field(default_factory=dict)
    """By class."""

    @property
    def machines(self) -> Machines:
        """What the trials run on."""
        of_one = _occupied(self.asked, self.recipe)
        return Machines(
            cpus=of_one.cpus,
            gpus=of_one.gpus,
            processes=of_one.processes,
            address=self.asked.address,
            depot=self.depot,
            minutes_to_wait=self.asked.wait_for_nodes,
            usd_per_hour=self.asked.usd_per_hour,
        )

    @property
    def micro_batch(self) -> MicroBatch:
        """What a forward pass of a trial holds."""
        asked = self.asked.micro_batch
        return self.recipe.resources.micro_batch if asked is None else asked

    def forecast(self, done: Manifests) -> Forecast:
        """What the trials that are not done take, and what the design can see."""
        sweep, seen = self.plan.sweep, self._seen(done)
        return forecast(
            self.plan,
            done,
            self.budget(done),
            self.pace(done),
            gpus=self.machines.gpus or 0.0,
            known=Known(
                variation=_variation(seen, sweep.primary_metric),
                of_guards={guard: _variation(seen, guard) for guard in sweep.guard_metrics},
                test_images=self.test_images,
            ),
            first=self._first_stage(),
            spared=spared_in(self.folder, self.plan, done),
        )

    def _first_stage(self) -> FirstStage | None:
        """What is left of the first stage; None where there is none, or it has ended."""
        if self.first is None or self.first.selection is not None or self.first.sweep.first is None:
            return None
        of_first = self.first.plan
        done = self.folder.done(of_first.trials)
        return FirstStage(
            stage=self.first.sweep.first,
            n_trials=self.first.n_trials,
            n_ended=self.staging.n_ended(of_first, self.folder) if self.staging else len(done),
            seconds=self.pace(done, of_first).mean(of_first.trials),
            epochs=of_first.config.training.epochs,
        )

    def pace(self, done: Manifests, of: Plan | None = None) -> Pace:
        """How long trials take: as the done ones took, or as a timing that is kept says, or the recipe.

        `done` are trials of the stage that is to run, `of`, by default what is judged.
        """
        done = self._with_searched(done)
        to_run = [trial.config for trial in (of or self.plan).trials if trial.trial_id not in done]
        took = [
            (trial.config, float(seconds))
            for trial in self._alike(of)
            if (seconds := done.get(trial.trial_id, {}).get("seconds"))
        ]
        asked = self.timing_asked()
        return pace(
            to_run,
            self.recipe,
            done=took,
            timings=timings_kept(to_run, asked) if asked else {},
            beside=asked.beside if asked else None,
        )

    def untimed(self, done: Manifests) -> list[Trial]:
        """The trials that are to run and are like none that is done, one of each kind."""
        first: list[Trial] = []
        if self.first and self.first.selection is None:
            first = [replace(trial, arm=f"{trial.arm}, {self.first.name}") for trial in self.first.plan.trials]
        there, trials = {**self.folder.done(first), **done}, (*first, *self.plan.trials)
        known = {kind_of(trial.config) for trial in trials if trial.trial_id in there}
        missing = (trial for trial in trials if trial.trial_id not in there)
        kinds = {kind_of(trial.config): trial for trial in missing}
        return [trial for kind, trial in kinds.items() if kind not in known]

    def timing_asked(self) -> Asked | None:
        """Under which circumstances trials train, and are timed; None where they do not train here.

        They train elsewhere on a cluster that is named, and where they ask for a GPU and there is none here; what
        several processes take together is not timed.
        """
        machine = this_machine()
        gpus = float(bool(machine.gpus)) if self.machines.gpus is None else self.machines.gpus
        if self.asked.address is not None or gpus > len(machine.gpus) or self.machines.processes > 1:
            return None
        return Asked(
            place=self.place,
            fingerprints=self.plan.trials[0].fingerprints,
            machine=machine,
            cpus=self.machines.cpus,
            gpus=gpus,
            beside=machine.beside(self.machines.cpus, gpus, min(len(self.plan.trials), MOST_BESIDE)),
            micro_batch=self.micro_batch,
        )

    def budget(self, done: Manifests, of: Plan | None = None) -> Budget:
        """The hard budget of both stages, less what every attempt at their trials has cost, whatever came of it.

        `done` are trials of the stage that is to run, `of`, by default what is judged. What one takes is measured
        on them, and on a search's whole points. Raises LedgerError where the costs cannot be read.
        """
        asked, alike, done = self.asked, self._alike(of), self._with_searched(done)
        earlier, paced = self.first.plan.trials if self.first else (), self.pace(done, of)
        books = Books(self.folder, (*earlier, *self.plan.trials), asked.usd_per_hour)
        weights, seconds = paced.weights(alike), paced.mean(alike)
        took = {trial_id: hours for trial_id in done if (hours := books.cost(trial_id).hours)}
        limits = Limits(
            hours=math.inf if asked.max_hours is None else asked.max_hours,
            usd=math.inf if asked.max_usd is None else asked.max_usd,
            usd_per_hour=asked.usd_per_hour,
        )
        expected = None if seconds is None else seconds * (self.machines.gpus or 1) / 3600
        measured = tuple(hours / weights.get(trial_id, 1.0) for trial_id, hours in took.items())
        return Budget(books, limits, TrialHours(expected=expected, measured=measured), weights)

    def with_first(self, stages: Stages) -> "Task":
        """The same task, now that so much is known of the first stage."""
        return replace(self, first=stages.first, plan=stages.plan)

    def _alike(self, of: Plan | None) -> tuple[Trial, ...]:
        """The trials that tell of each other what they take: a search's points, and those that confirm them."""
        if self.first and self.first.plan.stage == "search":
            return (*self.first.plan.trials, *self.plan.trials)
        return (of or self.plan).trials

    def _with_searched(self, done: Manifests) -> Manifests:
        """These done trials, and a search's whole points."""
        searched = self.first.plan.trials if self.first and self.first.plan.stage == "search" else ()
        return {**self.folder.done(t for t in searched if t.trial_id not in done), **done}

    def _seen(self, done: Manifests) -> Study | None:
        """What the done trials predicted; None before they can be compared."""
        if not done:
            return None
        try:
            return load_study(self.folder.path, quick=True)
        except SourceError:
            return None


def prepare(asked: Arguments, console: Console) -> Task:
    """The task, after every image is decoded once, with a bar.

    Raises UserError for a sweep, recipe or data that cannot be trained on, and for a metric that there is not.
    """
    sweep, question = load_sweep(asked.file)
    recipe = load_recipe(asked.recipe)
    _occupied(asked, recipe)
    place = Place(data_dir=(asked.data or _data_dir(recipe)).absolute(), cache_dir=asked.cache.absolute())
    staging = Staging(sweep=sweep, config=recipe.config, recipe=recipe.name, n_seeds=asked.seeds)
    with _named(asked.file):
        staging.planned()  # a sweep that cannot be planned is refused before the images are read
        if asked.stop_after_selection and sweep.first is None:
            raise UserError("--stop-after-selection needs a sweep with a `first` stage, this one has none")
    with steps(console) as progress:
        dataset = open_dataset(recipe.config.data, place, progress)
    with _named(asked.file):
        _check_metrics(sweep, dataset)
    staging = replace(staging, fingerprints=fingerprints(recipe.config, dataset))
    folder = SweepFolder((asked.out / staging.planned().plan.folder_name).absolute())
    stages = staging.found(folder)
    return Task(
        asked=asked,
        plan=stages.plan,
        question=question,
        recipe=recipe,
        place=place,
        classes=dataset.classes,
        folder=folder,
        quarantine=dataset.quarantine,
        first=stages.first,
        staging=staging,
        test_images=dict(zip(dataset.classes, map(int, _sizes(dataset.test, dataset.classes)), strict=True)),
    )


def _occupied(asked: Arguments, recipe: Recipe) -> Occupied:
    """What a trial occupies: what is asked for, else what the recipe says. Raises ConfigError.

    Several processes have a GPU each where this machine has any, unless the trials are to run elsewhere.
    """
    by_recipe, gpus, processes = recipe.resources, asked.gpus_per_trial, asked.processes_per_trial
    if gpus is None and processes is None:
        gpus, processes = by_recipe.gpus, by_recipe.processes
    if gpus is None and processes is not None and processes > 1 and asked.address is None:
        gpus = float(processes) if this_machine().gpus else 0.0
    return occupied(asked.cpus_per_trial or by_recipe.cpus, gpus, processes)


def _data_dir(recipe: Recipe) -> Path:
    if recipe.data_dir is None:
        raise UserError(f"--data must name the folder of recipe {recipe.name}'s images: {recipe.note}".rstrip(": "))
    return Path(recipe.data_dir).expanduser()


@contextlib.contextmanager
def _named(file: Path) -> Iterator[None]:
    """What the sweep asks for and cannot have is told with the name of its file."""
    try:
        yield
    except (UserError, MetricError) as error:
        raise UserError(f"{file}: {error}") from None


def _check_metrics(sweep: Sweep, dataset: Dataset) -> None:
    """Metrics that can be scored on this test set, and on val where a stage picks by it, before anybody waits."""
    for images in (dataset.test, dataset.val) if sweep.first else (dataset.test,):
        for name in (sweep.primary_metric, *sweep.guard_metrics):
            metric_named(name, classes=dataset.classes, sizes=_sizes(images, dataset.classes))


def _variation(seen: Study | None, metric: str) -> Variation:
    """What a study shows of a metric's chance; as assumed without one."""
    if seen is None:
        return ASSUMED
    try:
        return measured(seen, metric=metric)
    except SourceError:
        return ASSUMED


def _sizes(images: Split, classes: Sequence[str]) -> NDArray[np.float64]:
    """Images by class, [K]."""
    return np.bincount(images.label, minlength=len(classes)).astype(np.float64)
