"""A sweep's stages as its folder has them: which first-stage trials there are, and what they picked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dermtune.config import Config
from dermtune.firstfile import refuse_other
from dermtune.firstplan import First, first_plan, question_of, second_plan
from dermtune.ledger import SweepFolder
from dermtune.plan import Plan, Search, Sweep, plan
from dermtune.selection import Selection, Tried

if TYPE_CHECKING:
    from dermtune.points import Points


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

    def planned(self, tried: tuple[Tried, ...] = (), selection: Selection | None = None) -> Stages:
        """The stages, given the points that a search has tried and what was picked.

        Raises PlanError or ConfigError.
        """
        if self.sweep.first is None:
            whole = plan(
                self.sweep,
                self.config,
                recipe=self.recipe,
                fingerprints=self.fingerprints,
                n_seeds=self.n_seeds,
            )
            return Stages(plan=whole)
        if isinstance(self.sweep.first, Search):
            self.points()  # it refuses what cannot be searched
        of_first = first_plan(
            self.sweep, self.config, recipe=self.recipe, fingerprints=self.fingerprints, tried=tried
        )
        first = First(sweep=self.sweep, plan=of_first, tried=tried, selection=selection)
        second = second_plan(
            first, self.config, recipe=self.recipe, fingerprints=self.fingerprints, n_seeds=self.n_seeds
        )
        return Stages(plan=second, first=first)

    def found(self, folder: SweepFolder) -> Stages:
        """The stages as far as the folder has them.

        Raises UserError where it has another question's first stage, or a file of it cannot be read.
        """
        stages = self.planned()
        if stages.first is None:
            refuse_other(folder, None)
            return stages
        asked = question_of(self.sweep, stages.first.plan)
        refuse_other(folder, asked)
        selection = Selection.read(folder.selection)
        if selection is not None and selection.asked == asked:
            return self.planned(selection.tried if selection.stage == "search" else (), selection)
        return self.planned(self.tried(folder))

    def tried(self, folder: SweepFolder) -> tuple[Tried, ...]:
        """The points of a search that have ended; none of a screening."""
        if not isinstance(self.sweep.first, Search) or not folder.search.exists():
            return ()
        from dermtune import (
            journal,
        )  # Optuna takes a second to import: a sweep without a search does not wait for it

        return tuple(journal.tried(self.points(), folder))

    def points(self) -> "Points":
        """What a search proposes trials with."""
        from dermtune.points import Points

        return Points(sweep=self.sweep, recipe=self.recipe, config=self.config, fingerprints=self.fingerprints)
