"""Points of a search: the trial that each is, and a space in which every one of them can be trained and scored."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.metrics import OVERALL
from dermtune.config import Config, ConfigError, Scalar
from dermtune.picking import objectives
from dermtune.plan import BASELINE, PlanError, Search, Sweep, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """The points of a sweep's search on one recipe's config; each changes the baseline by what was proposed.

    Raises PlanError for a sweep that does not search, for a metric that no epoch scores and for a baseline outside
    the space, ConfigError for an end of the space that cannot be trained: all before anything is started.
    """

    sweep: Sweep
    config: Config
    """The recipe's."""
    fingerprints: Mapping[str, str]
    """Content hashes of what the config only names."""

    def __post_init__(self) -> None:
        if not isinstance(self.sweep.first, Search):
            raise PlanError(f"a sweep that searches must have a `Search` first, got {self.sweep.first!r}")
        for metric in self.objectives:
            if metric not in OVERALL:
                raise PlanError(
                    f"a search must seek what each epoch scores on val, one of {', '.join(OVERALL)}, got {metric!r}"
                )
        for lever, values in self.search.space.items():
            if not _holds(values, self.sweep.baseline[lever]):
                raise PlanError(
                    f"the baseline must be a point of the space: `{lever}` = {self.sweep.baseline[lever]!r} is not "
                    f"in {values}"
                )
        _ = self.corners

    @property
    def search(self) -> Search:
        """What is searched, and how."""
        assert isinstance(self.sweep.first, Search)
        return self.sweep.first

    @property
    def seed(self) -> int:
        """The one training seed of all points."""
        return self.search.seeds[0]

    @property
    def objectives(self) -> tuple[str, ...]:
        """The primary metric, and what is sought beside it."""
        return objectives(self.sweep)

    @property
    def baseline(self) -> Trial:
        """Point 0."""
        return self.trial(0, {})

    @property
    def corners(self) -> Mapping[str, Config]:
        """Configs at the ends of every lever, and of every two together, by name. Raises ConfigError."""
        ends = {lever: _ends(values) for lever, values in self.search.space.items()}
        return {_said(levers): self._config(levers) for levers in _corners(ends)}

    def trial(self, number: int, levers: Mapping[str, Scalar]) -> Trial:
        """The trial of a point: the baseline, changed by these levers. Raises ConfigError."""
        return Trial(
            arm=f"point-{number}" if number else BASELINE,
            levers={**self.sweep.baseline, **levers},
            seed=self.seed,
            config=self._config(levers),
            fingerprints=dict(self.fingerprints),
        )

    def _config(self, levers: Mapping[str, Scalar]) -> Config:
        try:
            return self.config.with_levers({**self.sweep.baseline, **levers})
        except ConfigError as error:
            raise ConfigError(f"{error} at {_said(levers)} in the space") from None


def scored(row: Mapping[str, float]) -> dict[str, float]:
    """The metrics on val of an epoch's row."""
    return {metric: float(row[f"val_{metric}"]) for metric in OVERALL if f"val_{metric}" in row}


def _ends(values: Any) -> Sequence[Scalar]:
    """The first and the last value of a range; all choices where there is no order."""
    choices: Sequence[Scalar] | None = getattr(values, "choices", None)
    return choices or (values.low, values.high)


def _holds(values: Any, value: Scalar) -> bool:
    """Whether the value can be proposed."""
    if (choices := getattr(values, "choices", None)) is not None:
        return value in choices
    if isinstance(value, str | bool) or not values.low <= value <= values.high:
        return False
    steps = (value - values.low) / values.step if values.step else 0.0
    return bool(abs(steps - round(steps)) < 1e-8)


def _corners(ends: Mapping[str, Sequence[Scalar]]) -> Iterator[Mapping[str, Scalar]]:
    for lever, values in ends.items():
        yield from ({lever: value} for value in values)
    for (one, its), (other, others) in itertools.combinations(ends.items(), 2):
        yield from ({one: a, other: b} for a, b in itertools.product(its, others))


def _said(levers: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{lever}={value!r}" for lever, value in levers.items()) or BASELINE
