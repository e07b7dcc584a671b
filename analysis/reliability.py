"""Each arm's calibration on the test set, as trained and with the temperature that its runs chose on `val`."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from analysis.calibration import confidence_bins
from analysis.findings.calibration import ArmCalibration, CalibrationErrors, Spread
from analysis.posthoc import PostHoc
from analysis.study import Arm
from analysis.treatments import TEMPERATURE


def calibration_of(arms: Sequence[Arm]) -> tuple[ArmCalibration, ...]:
    """The calibration of the arms, in their order; of none whose runs nobody looked at after training."""
    return tuple(found for arm in arms if (found := _arm(arm)) is not None)


def spread(values: Sequence[float]) -> Spread:
    """How these values, one a run, lie."""
    return Spread(
        values=tuple(values),
        mean=fmean(values),
        sd=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        lowest=min(values),
        highest=max(values),
    )


def _arm(arm: Arm) -> ArmCalibration | None:
    after = [run.posthoc for run in arm.runs if run.posthoc is not None]
    before = [run.errors for run in after if run.errors is not None]
    scaled = [run.errors_scaled for run in after if run.errors_scaled is not None]
    if len(before) < len(arm.runs):
        return None
    whole = len(scaled) == len(arm.runs)
    return ArmCalibration(
        arm=arm.name,
        n_seeds=len(arm.runs),
        temperature=_temperature(after) if whole else None,
        before=_mean(before),
        after=_mean(scaled) if whole else None,
        bins_before=confidence_bins([run.outcome for run in arm.runs]),
        bins_after=confidence_bins([run.treated[TEMPERATURE] for run in after]) if whole else (),
    )


def _temperature(runs: Sequence[PostHoc]) -> Spread:
    return spread([run.fitted[TEMPERATURE] for run in runs])


def _mean(errors: Sequence[CalibrationErrors]) -> CalibrationErrors:
    return CalibrationErrors(
        ece=fmean(e.ece for e in errors),
        ece_equal_mass=fmean(e.ece_equal_mass for e in errors),
        ece_classwise=fmean(e.ece_classwise for e in errors),
        nll=fmean(e.nll for e in errors),
    )
