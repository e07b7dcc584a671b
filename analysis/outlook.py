"""What a design can see at several numbers of seeds: the record behind `python -m analysis.power`."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.planning import (
    Aim,
    Layout,
    SeedsNeeded,
    interaction,
    main_effect,
    power_at,
    seeds_for,
    smallest_detectable,
)

SEEDS = (3, 5, 10, 15, 20)
"""Seeds an arm that are always shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One kind of effect, and from which size on it is found."""

    what: str
    aim: Aim
    smallest: Mapping[int, float | None]
    """The smallest true effect that is found, a fraction, by seeds an arm; None of one seed, which finds none."""
    needed: SeedsNeeded
    """What it takes to find one as large as is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a layout of arms can see."""

    layout: Layout
    delta: float
    """The true delta that should be found, as a fraction."""
    power: float
    """The probability that it should be found with."""
    n_seeds: int | None
    """Seeds an arm that were asked about."""
    found: float | None
    """Probability that they find the wanted delta, all arms judged at once; None where none were asked about."""
    sights: tuple[Sight, ...]
    """A delta among all arms judged at once, then one judged by itself, then the grid's effects."""


def outlook(
    layout: Layout, *, delta: float, power: float = 0.8, n_seeds: int | None = None, levels: Sequence[int] = ()
) -> Outlook:
    """What the layout sees at `SEEDS` and `n_seeds` seeds an arm, and what a true `delta` takes.

    `levels` are those of each lever, where the arms are the cells of a full grid. Raises PlanningError.
    """
    aims = _deltas(layout.n_arms - 1, power) | _of_grid(levels, power)
    shown = sorted({*SEEDS, *([] if n_seeds is None else [n_seeds])})
    return Outlook(
        layout=layout,
        delta=delta,
        power=power,
        n_seeds=n_seeds,
        found=None if n_seeds is None else power_at(delta, layout, n_seeds, next(iter(aims.values()))),
        sights=tuple(
            Sight(
                what=what,
                aim=aim,
                smallest={n: smallest_detectable(layout, n, aim) if n > 1 else None for n in shown},
                needed=seeds_for(delta, layout, aim),
            )
            for what, aim in aims.items()
        ),
    )


def _deltas(n_others: int, power: float) -> dict[str, Aim]:
    if n_others == 1:
        return {"the arm": Aim(power=power)}
    together = Aim(n_comparisons=n_others, power=power)
    return {f"{n_others} arms judged at once": together, "one arm by itself": Aim(power=power)}


def _of_grid(levels: Sequence[int], power: float) -> dict[str, Aim]:
    """Main effects and interactions of a grid; levers with as many levels are seen alike and stand once."""
    if len(levels) < 2:
        return {}
    targets = {f"main effect, {n} levels": main_effect(levels, lever) for lever, n in enumerate(levels)}
    for one, other in itertools.combinations(range(len(levels)), 2):
        targets[f"interaction, {levels[one]} × {levels[other]} levels"] = interaction(levels, one, other)
    return {what: Aim(target=target, power=power) for what, target in targets.items()}
