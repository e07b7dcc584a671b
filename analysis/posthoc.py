"""What can be made of a run's stored predictions after training, without training again.

Everything that is chosen is chosen on `val` and frozen; `test` is only scored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.calibration import calibration_errors
from analysis.findings.calibration import CalibrationErrors
from analysis.metrics import Outcome, outcome
from analysis.split import Split
from analysis.treatments import TEMPERATURE, Treated, treated


@dataclass(frozen=True, slots=True, kw_only=True)
class PostHoc:
    """One run's outcomes after training."""

    val: Outcome | None = None
    """Its outcome on `val`; None where that is not there."""
    val_groups: NDArray[np.str_] | None = None
    """What each image of `val` belongs to, [N]."""
    treated: Mapping[str, Outcome] = field(default_factory=dict)
    """Its outcome on `test` under each treatment, by the treatment's name."""
    fitted: Mapping[str, float] = field(default_factory=dict)
    """The temperature or the tau that a treatment chose on `val`, by its name."""
    errors: CalibrationErrors | None = None
    """Its calibration on `test` as trained."""
    errors_scaled: CalibrationErrors | None = None
    """The same with its temperature; None without one."""


def posthoc(test: Split, val: Split | None, levers: Mapping[str, Any]) -> PostHoc:
    """What is made of one run's predictions; without `val` only what needs no fitting."""
    found = treated(test, val, levers)
    return PostHoc(
        val=None if val is None else outcome(val.label, val.probabilities),
        val_groups=None if val is None else val.group_id,
        treated={one.name: _outcome(one, test) for one in found},
        fitted={one.name: one.fitted for one in found if one.fitted is not None},
        errors=calibration_errors(test.label, test.probabilities),
        errors_scaled=next((_errors(one) for one in found if one.name == TEMPERATURE), None),
    )


def _outcome(one: Treated, test: Split) -> Outcome:
    return outcome(test.label, one.split.probabilities)


def _errors(one: Treated) -> CalibrationErrors:
    return calibration_errors(one.split.label, one.split.probabilities)
