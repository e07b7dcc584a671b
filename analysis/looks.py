"""Looking before all seeds are there: which look a report is, and how strict that makes it.

A plain test at every look finds a difference where there is none in more than one sweep of twenty. So the 5% are
spent over the looks, as a function of the share of the seeds that are there (Lan and DeMets 1983), in the shape of
O'Brien and Fleming (1979): next to nothing early, almost all at the last look.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

ALPHA = 0.05
"""What all looks together may spend, two-sided."""

_N_NODES = 128
_FAR = 12.0
"""Standard errors beyond which a walk that goes on is not followed: a probability of 1e-33."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Which of a sweep's looks a report is."""

    number: int
    """1 for the first; 0 before it."""
    of: int
    """Looks in all, as far as they are known."""
    n_seeds: int
    """Seeds an arm that are looked at; before the first look, those that are there."""
    alpha: float
    """Nominal two-sided level of this look, that of its intervals and tests; 0 before the first."""
    spent: float
    """What this look and those before it have spent of `ALPHA`."""
    declared: bool
    """The sweep declares this look and every one before it."""
    later: tuple[int, ...]
    """Seeds of the looks that are still to come."""

    @property
    def judges(self) -> bool:
        """Whether there is a verdict at all: not before the first look."""
        return self.number > 0


def look_at(n_seeds: int, *, declared: Sequence[int], taken: Sequence[int]) -> Look | None:
    """The look that `n_seeds` seeds are enough for; None where there is only one: none declared, none taken before.

    A look that was taken and not declared counts as if it had been, so that no later one has the 5% for itself.

    Args:
        n_seeds: seeds that are there.
        declared: numbers of seeds at which the sweep says it looks, ascending, the last the final one.
        taken: numbers of seeds at which results were seen before, ascending.
    """
    reached = [n for n in declared if n <= n_seeds] if declared else [n_seeds]
    if not reached:
        return _before_the_first(n_seeds, declared)
    here = reached[-1]
    earlier = {n for n in taken if n < here}
    if not declared and not earlier:
        return None
    schedule = sorted({*declared, *earlier, here})
    information = [n / schedule[-1] for n in schedule]
    place = schedule.index(here)
    return Look(
        number=place + 1,
        of=len(schedule),
        n_seeds=here,
        alpha=nominal_levels(information)[place],
        spent=spent(information[place]),
        declared=schedule == list(declared),
        later=tuple(schedule[place + 1 :]),
    )


def _before_the_first(n_seeds: int, declared: Sequence[int]) -> Look:
    return Look(
        number=0, of=len(declared), n_seeds=n_seeds, alpha=0.0, spent=0.0, declared=True, later=tuple(declared)
    )


def look_pvalue(pvalue: float, look: Look) -> float:
    """A look's p-value on the scale of all looks: at most `ALPHA` exactly where it is at most the look's level.

    It is p times ALPHA / alpha, at most 1: it decides as the look's interval does, and orders the outcomes of one
    look. It is no stage-wise p-value, which would order those of different looks too. nan where a look has nothing
    to spend, as before the first.
    """
    return min(1.0, ALPHA * (pvalue / look.alpha)) if look.alpha else math.nan


def spent(information: float, alpha: float = ALPHA) -> float:
    """What may be spent by the share `information` of all seeds: 2 - 2 Phi(z_{alpha/2} / sqrt(information)).

    Lan and DeMets (1983), of O'Brien and Fleming's shape, for a two-sided alpha.
    """
    return float(2 * ndtr(ndtri(alpha / 2) / math.sqrt(information)))


def nominal_levels(information: Sequence[float], alpha: float = ALPHA) -> tuple[float, ...]:
    """The two-sided level of each look that together spend `spent`.

    They are a normal test's, and are carried over to a t interval at the same level (Pocock 1977).

    Args:
        information: shares of all seeds at which is looked, ascending, the last 1.
        alpha: what all looks together may spend.
    """
    return _nominal_levels(tuple(information), alpha)


@functools.lru_cache(maxsize=256)
def _nominal_levels(information: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    return tuple(
        2 * float(ndtr(-bound)) for bound in spending_bounds([spent(t, alpha) for t in information], information)
    )


def spending_bounds(spending: Sequence[float], information: Sequence[float]) -> tuple[float, ...]:
    """The distance of each look's bound from 0, in standard errors, at which the looks so far spend `spending`.

    Args:
        spending: probability under no difference of having crossed by each look, ascending.
        information: share of the information at each look, ascending.
    """
    walk, before, found = _start(), 0.0, []
    for probability, share in zip(spending, information, strict=True):
        bound = _bound(walk, probability - before, share)
        walk, before = walk.within(bound, share), probability
        found.append(bound)
    return tuple(found)


def crossing(bounds: Sequence[float], information: Sequence[float]) -> tuple[float, ...]:
    """Probability under no difference of having crossed the bounds, in standard errors, by each look.

    Two-sided, by numerical integration over independent increments (Armitage, McPherson and Rowe 1969; Jennison and
    Turnbull 2000, Group Sequential Methods, chapter 19).
    """
    walk, crossed, by_look = _start(), 0.0, []
    for bound, share in zip(bounds, information, strict=True):
        crossed += walk.crosses(bound, share)
        walk = walk.within(bound, share)
        by_look.append(crossed)
    return tuple(by_look)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """Where the sum of the results may stand under no difference, no look so far having crossed its bound."""

    information: float
    """Variance of the sum."""
    places: NDArray[np.float64]
    """Values of the sum, [n]."""
    masses: NDArray[np.float64]
    """Probability that each of them stands for, [n]."""

    def crosses(self, bound: float, information: float) -> float:
        """Probability of going on and then standing beyond the bound."""
        edge, spread = bound * math.sqrt(information), math.sqrt(information - self.information)
        beyond = ndtr((self.places - edge) / spread) + ndtr((-self.places - edge) / spread)
        return float(self.masses @ beyond)

    def within(self, bound: float, information: float) -> "_Walk":
        """The walk at `information`, where it does not stand beyond the bound."""
        edge, spread = min(bound, _FAR) * math.sqrt(information), math.sqrt(information - self.information)
        nodes, weights = np.polynomial.legendre.leggauss(_N_NODES)
        steps = (edge * nodes[:, None] - self.places) / spread
        density = np.exp(-(steps**2) / 2) @ self.masses / (spread * math.sqrt(2 * math.pi))
        return _Walk(information=information, places=edge * nodes, masses=edge * weights * density)


def _start() -> _Walk:
    return _Walk(information=0.0, places=np.zeros(1), masses=np.ones(1))


def _bound(walk: _Walk, probability: float, information: float) -> float:
    """The bound beyond which the walk stands with this probability; infinite for none."""
    farthest = -float(ndtri(probability / 2))  # that of a walk that has lost nothing on its way
    if math.isinf(farthest):
        return farthest
    return float(
        brentq(lambda bound: walk.crosses(bound, information) - probability, 0.0, farthest + 1, xtol=1e-14)
    )
