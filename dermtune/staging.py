"""A sweep's stages as its folder has them: which first-stage trials there are, and what they picked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from dermtune.config import Config
from dermtune.firstfile import refuse_first
from dermtune.firstplan import First, first_plan, points_of, question_of, second_plan
from dermtune.ledger import SweepFolder
from dermtune.plan import Plan, Search, Sweep, Trial, plan
from dermtune.points import Points
from dermtune.selection import Selection


class _On(TypedDict):
    """On which recipe and data."""

    recipe: str
    fingerprints: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What is known of both stages."""

    plan: Plan
    """What is judged; as many arms as may be found, as long as they are not."""
    first: First | None = None
    """None where the sweep file names the arms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """What a sweep's stages are planned from."""

    sweep: Sweep
    """As its file has it."""
    config: Config
    recipe: str
    """Name of the recipe."""
    n_seeds: int | None = None
    """Of the second stage; None takes the sweep's."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)

    def planned(self, points: Sequence[Trial] = (), selection: Selection | None = None) -> Stages:
        """The stages, given the points that a search has proposed and what was picked.

        Raises PlanError or ConfigError.
        """
        if self.sweep.first is None:
            return Stages(plan=plan(self.sweep, self.config, **self._on, n_seeds=self.n_seeds))
        if isinstance(self.sweep.first, Search):
            self.points()  # it refuses what cannot be searched
        of_first = first_plan(self.sweep, self.config, **self._on, points=points)
        first = First(sweep=self.sweep, plan=of_first, selection=selection)
        return Stages(plan=second_plan(first, self.config, **self._on, n_seeds=self.n_seeds), first=first)

    def found(self, folder: SweepFolder) -> Stages:
        """The stages as far as the folder has them; what another question picked there is not taken.

        Raises UserError where it has a first stage and the sweep none, or where a file of it cannot be read.
        """
        stages = self.planned()
        if stages.first is None:
            refuse_first(folder)
            return stages
        of_first = stages.first.plan
        selection = Selection.read(folder.selection)
        if selection is None or selection.asked != question_of(self.sweep, of_first):
            return self.planned(self.proposed(folder))
        return self.planned(points_of(of_first, selection.tried) if of_first.stage == "search" else (), selection)

    def proposed(self, folder: SweepFolder) -> tuple[Trial, ...]:
        """The trials of a search's points so far; none of a screening."""
        if not isinstance(self.sweep.first, Search) or not folder.search.exists():
            return ()
        from dermtune import (
            journal,
        )  # Optuna takes a second to import: a sweep without a search does not wait for it

        return journal.trials(self.points(), folder)

    def n_ended(self, of_first: Plan, folder: SweepFolder) -> int:
        """How many of the first stage's trials need not be run."""
        if of_first.stage != "search" or not folder.search.exists():
            return len(folder.done(of_first.trials))
        from dermtune import journal

        return sum(one.state != "failed" for one in journal.tried(self.points(), folder))

    def points(self) -> Points:
        """What a search proposes trials with. Raises PlanError or ConfigError for what cannot be searched."""
        return Points(sweep=self.sweep, config=self.config, fingerprints=self.fingerprints)

    @property
    def _on(self) -> _On:
        return {"recipe": self.recipe, "fingerprints": self.fingerprints}
