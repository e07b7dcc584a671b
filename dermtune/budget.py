"""A hard budget: a trial is admitted only if it and all that are under way can be paid to their end."""

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class Budget:
    """Hours that a sweep may cost and what is spent of them. An hour is a GPU's, or a trial's where it has none."""

    limit_hours: float = math.inf
    spent_hours: float = 0.0
    typical_hours: float = 0.0
    """What one trial is expected to take; 0 as long as nothing is known, then trials are admitted on trust."""
    _under_way: int = 0
    _settled: list[float] = field(default_factory=list)

    def admit(self) -> bool:
        """Whether one more trial fits in; if so it is under way until it is settled."""
        fits = self.spent_hours < self.limit_hours and self._projected_hours() <= self.limit_hours
        self._under_way += fits
        return fits

    def settle(self, hours: float) -> None:
        """A trial that was under way has ended and took so long."""
        self._under_way -= 1
        self._settled.append(hours)
        self.spent_hours += hours
        self.typical_hours = sum(self._settled) / len(self._settled)

    def _projected_hours(self) -> float:
        return self.spent_hours + (self._under_way + 1) * self.typical_hours


def hour_limit(max_hours: float | None, max_usd: float | None, usd_per_hour: float | None) -> float:
    """The tighter of both limits in hours; infinite where there is none."""
    by_hours = math.inf if max_hours is None else max_hours
    by_usd = math.inf if max_usd is None or usd_per_hour is None else max_usd / usd_per_hour
    return min(by_hours, by_usd)
