"""How long a trial takes: as the sweep's own trials took, or as a timing says, or as the recipe does."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from analysis.words import count
from dermtune.config import Config
from dermtune.plan import Trial
from dermtune.recipes import Recipe
from dermtune.timing import Seconds, Timing, kind_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long trials take, and how that is known."""

    by_length: Mapping[str, float]
    """Seconds of a whole trial, by `length_of` its configuration."""
    otherwise: float | None
    """Of any other; None where nobody knows."""
    origin: str
    """Where the figures come from, a clause."""
    quartiles: tuple[float, float] | None = None
    """Of what is to run, the mean trial where steps take what a quarter of them took, and three quarters."""
    beside: int | None = None
    """Trials that run side by side; None where that is not known here."""

    def seconds(self, config: Config) -> float | None:
        """What a whole trial of this configuration takes; None where nobody knows."""
        return self.by_length.get(length_of(config), self.otherwise)

    def mean(self, trials: Iterable[Trial]) -> float | None:
        """What these trials take, the mean; None where nobody knows, or there are none."""
        trials = list(trials)
        of_arm = self._of_arms(trials)
        known = [seconds for trial in trials if (seconds := of_arm[trial.arm]) is not None]
        return statistics.fmean(known) if known and len(known) == len(trials) else None

    def weights(self, trials: Sequence[Trial]) -> dict[str, float]:
        """What each of the trials takes beside their mean, by trial_id; empty where nobody knows."""
        mean, of_arm = self.mean(trials), self._of_arms(trials)
        return {trial.trial_id: (of_arm[trial.arm] or mean) / mean for trial in trials} if mean else {}

    def _of_arms(self, trials: Iterable[Trial]) -> dict[str, float | None]:
        """Seconds by arm, whose trials have one configuration."""
        return {arm: self.seconds(config) for arm, config in {t.arm: t.config for t in trials}.items()}


def length_of(config: Config) -> str:
    """One text for all configurations whose trials take alike."""
    return f"{config.training.epochs} epochs of {kind_of(config)}"


def pace(
    to_run: Sequence[Config],
    recipe: Recipe,
    *,
    done: Sequence[tuple[Config, float]] = (),
    timings: Mapping[str, Timing] | None = None,
    beside: int | None = None,
) -> Pace:
    """How long the trials that are to run take, a configuration a trial.

    Trials that are done outrank a timing of their kind; other kinds are taken as timed, times what the done ones
    took beside their own timing. Where a kind is neither done nor timed all are taken to be alike.

    Args:
        to_run: the configurations of the trials that are to run.
        recipe: whose figure is the last resort.
        done: the configuration of each done trial, and the seconds that it took.
        timings: by `kind_of`.
        beside: trials that run side by side, where it is known.
    """
    took: dict[str, list[float]] = defaultdict(list)
    of_done, of_missing = _lengths([config for config, _ in done]), _lengths(to_run)
    everything = [seconds for _, seconds in done]
    for length, seconds in zip(of_done, everything, strict=True):
        took[length].append(seconds)
    lengths = dict(zip((*of_missing, *of_done), (*to_run, *(config for config, _ in done)), strict=True))
    timed = _timed(lengths, timings or {}, len(to_run))
    known = _known(lengths, took, {length: each.typical for length, each in timed.items()})
    return Pace(
        by_length=known,
        otherwise=statistics.fmean(everything) if everything else recipe.seconds_per_trial,
        origin=_origin(dict(zip(of_missing, to_run, strict=True)), took, timings or {}, recipe, known),
        quartiles=_quartiles([timed.get(length) for length in of_missing]) if not done else None,
        beside=beside,
    )


def _lengths(configs: Sequence[Config]) -> list[str]:
    """`length_of` each of them; trials of an arm share one configuration, which is written out once."""
    of = {number: length_of(config) for number, config in {id(config): config for config in configs}.items()}
    return [of[id(config)] for config in configs]


def _timed(lengths: Mapping[str, Config], timings: Mapping[str, Timing], n_to_run: int) -> dict[str, Seconds]:
    """What each takes by its timing; what only a worker's first trial waits for is spread over all."""
    found = {}
    for length, config in lengths.items():
        if timing := timings.get(kind_of(config)):
            once = timing.once * min(1.0, timing.beside / max(1, n_to_run))
            found[length] = timing.trial(config.training).plus(once)
    return found


def _known(
    lengths: Mapping[str, Config], took: Mapping[str, Sequence[float]], timed: Mapping[str, float]
) -> dict[str, float]:
    """Seconds by length where every length is done or timed; empty where one is neither."""
    if not all(length in took or length in timed for length in lengths):
        return {}
    ratios = [seconds / timed[length] for length, each in took.items() if length in timed for seconds in each]
    slower = statistics.fmean(ratios) if ratios else 1.0
    return {
        length: statistics.fmean(took[length]) if length in took else timed[length] * slower for length in lengths
    }


def _quartiles(timed: Sequence[Seconds | None]) -> tuple[float, float] | None:
    known = [each for each in timed if each is not None]
    if not known or len(known) < len(timed):
        return None
    return statistics.fmean(each.low for each in known), statistics.fmean(each.high for each in known)


def _origin(
    lengths: Mapping[str, Config],
    took: Mapping[str, Sequence[float]],
    timings: Mapping[str, Timing],
    recipe: Recipe,
    known: Mapping[str, float],
) -> str:
    n_done = sum(map(len, took.values()))
    done = f"measured on {count(n_done, 'done trial')}"
    if not known:
        return done if n_done else f"the figure of recipe {recipe.name}"
    used = [timings[kind_of(config)] for length, config in lengths.items() if length not in took]
    if not used:
        return done
    first = used[0]
    load = f", {first.beside} trials side by side" if first.beside > 1 else ""
    steps = f"timed over {count(min(timing.n_steps for timing in used), 'step')} here, on {first.device}{load}"
    return f"{done}, other kinds {steps}" if n_done else steps
