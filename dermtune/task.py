"""From the command line to all that a sweep needs, each part checked before anything is started."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from analysis.earlier import measured
from analysis.metrics import MetricError, metric_named
from analysis.planning import ASSUMED, Variation
from analysis.sources import load_study
from analysis.study import SourceError
from dermtune.arguments import Arguments
from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.config import UserError
from dermtune.data.dataset import Dataset, open_dataset
from dermtune.data.place import Place
from dermtune.data.quarantine import Quarantine
from dermtune.execution import fingerprints
from dermtune.firstplan import First
from dermtune.forecast import Forecast, forecast
from dermtune.ledger import SweepFolder
from dermtune.loading import load_recipe, load_sweep
from dermtune.plan import Plan, Sweep
from dermtune.recipes import Recipe
from dermtune.staging import Stages, Staging
from dermtune.steps import steps

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

    @property
    def cpus(self) -> float:
        """Cores of a trial."""
        return self.asked.cpus_per_trial or self.recipe.resources.cpus

    @property
    def gpus(self) -> float | None:
        """GPUs of a trial; None takes one where there is any."""
        asked = self.asked.gpus_per_trial
        return self.recipe.resources.gpus if asked is None else asked

    def forecast(self, done: Manifests) -> Forecast:
        """What the trials that are not done take, and what the design can see."""
        return forecast(
            self.plan,
            self.recipe,
            done,
            self.budget(done),
            variation=self._variation(done),
        )

    def budget(self, done: Manifests) -> Budget:
        """The hard budget of both stages, less what every attempt at their trials has cost, whatever came of it.

        `done` are trials of the stage that is to run; what one of them takes is measured on these, and on a
        search's whole points, which take no less than the trials that confirm them. Raises LedgerError where the
        costs cannot be read.
        """
        asked, seconds = self.asked, self.recipe.seconds_per_trial
        earlier = self.first.plan.trials if self.first else ()
        books = Books(self.folder, (*earlier, *self.plan.trials), asked.usd_per_hour)
        took = [hours for trial_id in self._alike(done) if (hours := books.cost(trial_id).hours)]
        limits = Limits(
            hours=math.inf if asked.max_hours is None else asked.max_hours,
            usd=math.inf if asked.max_usd is None else asked.max_usd,
            usd_per_hour=asked.usd_per_hour,
        )
        expected = None if seconds is None else seconds * (self.gpus or 1) / 3600
        return Budget(books, limits, TrialHours(expected=expected, measured=tuple(took)))

    def with_first(self, stages: Stages) -> "Task":
        """The same task, now that so much is known of the first stage."""
        return replace(self, first=stages.first, plan=stages.plan)

    def _alike(self, done: Manifests) -> list[str]:
        """Done trials that took what a trial of the stage takes."""
        searched = self.first.plan.trials if self.first and self.first.plan.stage == "search" else ()
        return list(dict.fromkeys([*done, *self.folder.done(searched)]))

    def _variation(self, done: Manifests) -> Variation:
        """What the done trials show of chance; as assumed before they can be compared."""
        if not done:
            return ASSUMED
        try:
            return measured(load_study(self.folder.path, quick=True), metric=self.plan.sweep.primary_metric)
        except SourceError:
            return ASSUMED


def prepare(asked: Arguments, console: Console) -> Task:
    """The task, after every image is decoded once, with a bar.

    Raises UserError for a sweep, recipe or data that cannot be trained on, and for a metric that there is not.
    """
    sweep, question = load_sweep(asked.file)
    recipe = load_recipe(asked.recipe)
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
    )


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
    sets = (dataset.test, dataset.val) if sweep.first else (dataset.test,)
    for images in sets:
        sizes = np.bincount(images.label, minlength=len(dataset.classes)).astype(np.float64)
        for name in (sweep.primary_metric, *sweep.guard_metrics):
            metric_named(name, classes=dataset.classes, sizes=sizes)
