"""How large the best of many looks when none is better: expected order statistics of normal draws."""

import math
from functools import cache

from scipy import integrate, stats

_FAR = 12.0
"""Standard deviations beyond which a normal draw adds nothing to an expectation in double precision."""


@cache
def expected_largest(n: int, place: int = 1) -> float:
    """The expected `place`-th largest of n independent standard normal draws, in standard deviations.

    The integral of x f(x), with f the density of the order statistic of rank r = n - place + 1,

        f(x) = n! / ((r - 1)! (n - r)!) Phi(x)^(r - 1) (1 - Phi(x))^(n - r) phi(x)

    (David and Nagaraja 2003, Order Statistics, section 2.1). Raises ValueError for a place that there is not.
    """
    if not 1 <= place <= n:
        raise ValueError(f"the place must be from 1 to {n}, got {place}")
    below, above = n - place, place - 1
    constant = math.lgamma(n + 1) - math.lgamma(below + 1) - math.lgamma(above + 1)

    def weighted(x: float) -> float:
        log = below * stats.norm.logcdf(x) + above * stats.norm.logsf(x) + stats.norm.logpdf(x)
        return x * math.exp(constant + float(log))

    near = float(stats.norm.ppf((n - place + 0.625) / (n + 0.25)))
    value, _ = integrate.quad(weighted, -_FAR, _FAR, points=(near,), epsabs=1e-10, limit=200)
    return float(value)
