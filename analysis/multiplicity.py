"""Many arms against one baseline: what holds for all of them at once."""

from collections.abc import Sequence

import numpy as np
from statsmodels.stats.multitest import multipletests


def holm(pvalues: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values in the order given (Holm 1979): the family-wise error is held under any dependence."""
    if not pvalues:
        return ()
    return tuple(float(p) for p in multipletests(np.asarray(pvalues), method="holm")[1])


def simultaneous_level(n_comparisons: int, level: float = 0.95) -> float:
    """The level of each interval at which all of them hold together with probability `level` (Bonferroni)."""
    return 1 - (1 - level) / max(1, n_comparisons)
