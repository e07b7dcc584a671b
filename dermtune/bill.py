"""A sweep's cost and its budget in words: before the start, while it runs, and at its end."""

import math
import statistics
from collections.abc import Iterator, Sequence

from scipy import stats

from analysis.words import amount, count, hours, usd
from dermtune.budget import ROUNDING, Budget, Cost, Limits, TrialHours
from dermtune.plan import Plan, Trial

CONFIDENCE = 0.95
"""With which the missing trials take what is said, within its `±`."""


def cost(spent: Cost) -> str:
    """`12.40 hours, $29.76`; no dollars where no price is known."""
    return hours(spent.hours) + ("" if spent.usd is None else f", {usd(spent.usd)}")


def standing(budget: Budget) -> str:
    """`$1.20 of $5.00 spent (0.50 hours), $3.80 left`: of the tighter limit. Without any, what is spent."""
    spent, limits = budget.spent(), budget.limits
    if not limits.any:
        return f"{cost(spent)} spent"
    uncapped = f" ({hours(spent.hours)})" if math.isinf(limits.hours) else ""
    left = _said(budget, max(0.0, budget.hours_left()))
    return f"{' and '.join(_capped(spent, limits))} spent{uncapped}, {left} left"


def brief(budget: Budget) -> str | None:
    """`$1.20 of $5.00`, for a line in a log; None where there is neither price nor limit."""
    spent = budget.spent()
    if budget.limits.any:
        return " and ".join(_capped(spent, budget.limits))
    return None if spent.usd is None else usd(spent.usd)


def _capped(spent: Cost, limits: Limits) -> Iterator[str]:
    """What is spent of each limit."""
    if not math.isinf(limits.usd):
        yield f"{usd(spent.usd or 0.0)} of {usd(limits.usd)}"
    if not math.isinf(limits.hours):
        yield f"{amount(spent.hours)} of {hours(limits.hours)}"


def outlook(budget: Budget, plan: Plan, missing: Sequence[Trial]) -> str:
    """Where the budget stands before a start, what is missing of the plan takes, and how much of that fits."""
    lost = budget.books.lost()
    now = standing(budget) + (f"; {cost(lost)} of it came to nothing" if lost.hours else "")
    if not missing:
        return f"{now}; nothing is to run"
    if budget.hours_left() <= 0:
        return f"{now}; no further trial is started"
    needed = budget.hours_needed(missing)
    if needed is None:
        return f"{now}; what a trial takes is not known yet: the first ones start on trust"
    trials = f"the {count(len(missing), 'missing trial')} {_verb('take', missing)}"
    takes = f"{now}; {trials} about {_said(budget, needed)}{_spread(budget, len(missing))}"
    return f"{takes}{_fits(budget, plan, missing)}" if budget.limits.any else takes


def closing(budget: Budget, missing: Sequence[Trial]) -> str:
    """What a spent budget leaves to do: `--max-usd 5.70` would end it, and the figures behind that."""
    needed, mean = budget.hours_needed(missing), budget.trial_hours.mean
    if needed is None or mean is None:
        return f"the same command with more goes on: {standing(budget)}"
    more = needed + (_half_width(budget.trial_hours, len(missing)) or 0.0)
    each = f"{count(len(missing), 'trial')} of about {_said(budget, mean)} missing"
    return f"the same command with {' '.join(_options(budget, more))} would end it: {standing(budget)}, {each}"


def _fits(budget: Budget, plan: Plan, missing: Sequence[Trial]) -> str:
    """Whether the missing trials fit into what is left; else how many do, and how many seeds are whole then."""
    fitting = _fitting(budget, missing)
    if len(fitting) == len(missing):
        return f" and {_verb('fit', missing)}"
    left_out = {trial.seed for trial in missing[len(fitting) :]}
    whole = sum(seed not in left_out for seed in plan.seeds)
    which = f"{len(fitting)} of them {_verb('fit', fitting)}" if fitting else "none of them fits"
    return f": {which}, which makes {whole} of {count(len(plan.seeds), 'seed')} whole"


def _fitting(budget: Budget, missing: Sequence[Trial]) -> list[Trial]:
    """The first of the missing trials, as many as what is left pays for."""
    left, fitting = budget.hours_left(), list[Trial]()
    for trial in missing:
        left -= budget.hours_needed([trial]) or 0.0
        if left < -ROUNDING:
            break
        fitting.append(trial)
    return fitting


def _options(budget: Budget, hours_more: float) -> Iterator[str]:
    """The limits that pay for so many more hours, as they are given."""
    spent, limits = budget.spent(), budget.limits
    if not math.isinf(limits.hours):
        yield f"--max-hours {_rounded_up(max(limits.hours, spent.hours + hours_more))}"
    if limits.usd_per_hour is not None and not math.isinf(limits.usd):
        yield f"--max-usd {_rounded_up(max(limits.usd, (spent.usd or 0.0) + hours_more * limits.usd_per_hour))}"


def _spread(budget: Budget, n_trials: int) -> str:
    half_width = _half_width(budget.trial_hours, n_trials)
    return "" if half_width is None else f" ± {_said(budget, half_width)}"


def _half_width(trial_hours: TrialHours, n: int) -> float | None:
    """Half the width of Student's interval for the sum of n more trials; None where fewer than two are measured."""
    measured = trial_hours.measured
    if len(measured) < 2:
        return None
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(measured) - 1))
    return quantile * statistics.stdev(measured) * math.sqrt(n + n**2 / len(measured))


def _said(budget: Budget, value: float) -> str:
    """So many hours to come, in the unit of the tighter limit."""
    limits = budget.limits
    price, by_hours = limits.usd_per_hour, limits.hours - budget.spent().hours
    if price is None or (limits.any and by_hours <= budget.hours_left()):
        return hours(value)
    return usd(value * price)


def _verb(verb: str, trials: Sequence[Trial]) -> str:
    return f"{verb}s" if len(trials) == 1 else verb


def _rounded_up(value: float) -> str:
    """Two decimals, or two digits of what is small, and never less than the value."""
    decimals = 2 if value >= 0.1 or value <= 0 else 1 - math.floor(math.log10(value))
    return f"{math.ceil(value * 10**decimals) / 10**decimals:.{decimals}f}"
