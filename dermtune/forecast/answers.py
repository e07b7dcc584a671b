"""Whether a design can answer its own question, in sentences."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from analysis.planning import SeedsNeeded
from analysis.words import chance_of, count, hours, listed, metric_title, unit_of, usd
from dermtune.forecast.costs import Bill
from dermtune.forecast.foreseen import Forecast
from dermtune.forecast.seeing import LookSight, Sight, sees_nothing

Kind = Literal["can", "cannot", "note"]

SURELY = 0.8
"""The chance from which on a design is said to see something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One thing to know before money is spent."""

    kind: Kind
    text: str


def answer(forecast: Forecast) -> tuple[Sentence, ...]:
    """Whether the design sees its margin and what would, first; then what else it cannot see."""
    main = _main(forecast)
    if forecast.sight is None or sees_nothing(forecast.sight):
        return (main,)
    return (main, *_notes(forecast, forecast.sight))


def _main(forecast: Forecast) -> Sentence:
    sight, margin = forecast.sight, forecast.plan.sweep.margin
    if sight is None:
        return _cannot(
            "This design compares nothing: it has no arm but the baseline, and measures its run-to-run noise"
            f"{'' if len(forecast.plan.seeds) > 1 else ', for which one seed is too few'}."
        )
    if sees_nothing(sight):
        return _cannot(_one_seed(forecast, sight))
    if not sight.judged.reached:
        first = sight.looks[0].n_seeds
        have = count(len(forecast.plan.seeds), "seed")
        return _cannot(
            f"This run decides nothing: nothing is judged before the look at {first} seeds, and it has {have}; "
            f"--seeds {first} reaches it{_for(forecast.in_all(first))}."
        )
    if not margin:
        seen = _size(forecast, sight.delta)
        return Sentence(
            kind="can", text=f"This design finds a true delta from {seen} on; any is asked for, its margin is 0."
        )
    if (sight.judged.chance or 0.0) >= SURELY:
        return Sentence(kind="can", text=f"This design can see its own margin: {_found(forecast, sight.judged)}.")
    return _cannot(
        f"This design cannot see its own margin: {_found(forecast, sight.judged)}. "
        f"It finds one of {_size(forecast, sight.delta)} in four sweeps of five; {_way_out(forecast, sight)}."
    )


def _one_seed(forecast: Forecast, sight: Sight) -> str:
    takes = ""
    if sight.needed:
        takes = f" A true delta of the margin, {_margin(forecast)}, takes {_needed(forecast, sight.needed)}."
    why = "one seed measures no noise, and a verdict would rest on an assumed one"
    return f"This design decides nothing: {why}.{takes}"


def _found(forecast: Forecast, look: LookSight) -> str:
    n_others = len(forecast.plan.arms) - 1
    arms = "both arms" if n_others == 2 else f"all {n_others} arms"
    together = f", {arms} judged at once" if n_others > 1 else ""
    of = f" at the look at {look.n_seeds} seeds" if forecast.plan.sweep.looks else ""
    return f"a true delta of {_margin(forecast)} is found in {_chance(look.chance)} of sweeps{of}{together}"


def _way_out(forecast: Forecast, sight: Sight) -> str:
    """What would see the margin."""
    needed = sight.needed
    if needed is None or needed.images_forbid:
        return f"no number of seeds finds {_margin(forecast)}: the test images alone hide it"
    later = [look for look in sight.looks if not look.reached and (look.chance or 0.0) >= SURELY]
    if later:
        n = later[0].n_seeds
        return f"the look at {n} seeds finds {_margin(forecast)}: --seeds {n}{_for(forecast.in_all(n))}"
    return f"{_margin(forecast)} takes {_needed(forecast, needed)}"


def _needed(forecast: Forecast, needed: SeedsNeeded) -> str:
    cost = _for(forecast.in_all(needed.n_seeds)) if needed.n_seeds else ""
    return f"{needed.said}{cost}"


def _notes(forecast: Forecast, sight: Sight) -> Iterator[Sentence]:
    for text in (
        *_formalities(sight),
        *_unseen(forecast, sight),
        *_guards(forecast, sight),
        *_rare(forecast),
    ):
        yield Sentence(kind="note", text=text)


def _formalities(sight: Sight) -> Iterator[str]:
    early = [look for look in sight.looks if look.formality]
    if early:
        last = sight.looks[-1]
        which = listed([str(look.n_seeds) for look in early], at_most=len(early))
        judge = "is a formality: it judges" if len(early) == 1 else "are formalities: they judge"
        levels = listed([f"{100 * look.alpha:.2g}%" for look in early], at_most=len(early))
        yield (
            f"The look at {which} seeds {judge} at a level of {levels}, and finds only deltas far above "
            f"those that the look at {last.n_seeds} finds."
        )


def _unseen(forecast: Forecast, sight: Sight) -> Iterator[str]:
    """One line on the grid's effects that are not seen at the margin, where there are any."""
    margin = forecast.plan.sweep.margin
    interactions = {f"whether {name.replace(' × ', ' and ')} compose": e for name, e in sight.interactions.items()}
    effects = interactions | {f"the main effect of {name}": e for name, e in sight.main_effects.items()}
    unseen = [
        f"{name} (from {_size(forecast, effect.size)} on; the margin takes {effect.needed.said})"
        for name, effect in effects.items()
        if effect.needed and effect.size > margin
    ]
    if unseen:
        yield f"The grid cannot see at its margin {listed(unseen, at_most=len(unseen))}."


def _guards(forecast: Forecast, sight: Sight) -> Iterator[str]:
    for name, chance in sight.guards.items():
        if chance < SURELY:
            margin = unit_of(name).size(forecast.plan.sweep.margin)
            yield (
                f"The guard {metric_title(name)}: an arm that costs nothing is shown to in {_chance(chance)} of "
                f"sweeps (a loss above {margin} excluded); the others are kept at a cost."
            )


def _rare(forecast: Forecast) -> Iterator[str]:
    """Metrics that a single test image moves by more than the margin."""
    sweep, sizes = forecast.plan.sweep, {name: n for name, n in forecast.test_images.items() if n}
    if not sizes or not sweep.margin:
        return
    rarest = min(sizes, key=lambda name: sizes[name])
    for metric in dict.fromkeys((sweep.primary_metric, *sweep.guard_metrics)):
        kind, _, of_class = metric.partition(":")
        if kind == "recall" and of_class in sizes:
            name, moved = of_class, 1 / sizes[of_class]
        elif metric == "balanced_accuracy":
            name, moved = rarest, 1 / (len(sizes) * sizes[rarest])
        else:
            continue
        if moved > sweep.margin:
            unit = unit_of(metric)
            yield (
                f"One of the {count(sizes[name], 'test image')} of {name} moves {metric_title(metric)} by "
                f"{unit.size(moved)}, more than the margin: such images decide here, whatever the seeds."
            )


def _for(bill: Bill) -> str:
    """`, 3.20 hours and $8.00 in all`; nothing where it is not known."""
    if bill.hours is None:
        return ""
    price = "" if bill.usd is None else f" and {usd(bill.usd)}"
    return f", {hours(bill.hours)}{price} in all"


def _chance(chance: float | None) -> str:
    return chance_of(chance or 0.0)


def _size(forecast: Forecast, value: float) -> str:
    return unit_of(forecast.plan.sweep.primary_metric).size(value)


def _margin(forecast: Forecast) -> str:
    return _size(forecast, forecast.plan.sweep.margin)


def _cannot(text: str) -> Sentence:
    return Sentence(kind="cannot", text=text)
