"""Treatments after training: from one run's logits to others, without training again.

Each is a function of a split. What has to be chosen, a temperature or the weight of a prior, is chosen on `val`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from analysis.metrics import Floats
from analysis.split import Split, softmax

HFLIP, TEMPERATURE, LOGIT_ADJUSTMENT, FOCAL_INVERSE = "hflip", "temperature", "logit_adjustment", "focal_inverse"
TREATMENTS = (
    HFLIP,
    TEMPERATURE,
    LOGIT_ADJUSTMENT,
    FOCAL_INVERSE,
    f"{HFLIP}+{TEMPERATURE}",
    f"{HFLIP}+{LOGIT_ADJUSTMENT}",
)
"""Every treatment, in the order in which they are shown."""

_HOTTEST = np.log(100)
"""A temperature lies between a hundredth and a hundred."""
_TAUS = np.linspace(0, 2, 41)
"""Weights of the prior that are tried: 0 leaves the logits alone, 1 is the Bayes rule for equal classes."""
_FLOOR = np.finfo(np.float64).tiny


@dataclass(frozen=True, slots=True, kw_only=True)
class Treated:
    """A run's test images under one treatment."""

    name: str
    """One of `TREATMENTS`."""
    split: Split
    fitted: float | None = None
    """What was chosen on `val`: a temperature, or tau; None where nothing is."""


def treated(test: Split, val: Split | None, levers: Mapping[str, Any]) -> list[Treated]:
    """The test images of one run under each treatment that can be had.

    Without `val` that is what needs no fitting, without mirrored images what needs none. Logit adjustment is left
    out where the loss had it already, `focal_inverse` where it was not focal.
    """
    gamma = float(levers.get("focal_gamma", 0))
    mirrored = [] if test.logits_hflip is None else [Treated(name=HFLIP, split=hflip(test))]
    inverse = [Treated(name=FOCAL_INVERSE, split=focal_inverse(test, gamma))] if gamma > 0 else []
    if val is None:
        return [*mirrored, *inverse]
    both = _fitted(hflip(test), hflip(val), levers) if mirrored and val.logits_hflip is not None else []
    combined = [replace(one, name=f"{HFLIP}+{one.name}") for one in both]
    return [*mirrored, *_fitted(test, val, levers), *inverse, *combined]


def hflip(split: Split) -> Split:
    """The mean of both views' probabilities; the split as it is where it has one view."""
    if split.logits_hflip is None:
        return split
    mean = (split.probabilities + softmax(split.logits_hflip)) / 2
    return replace(split, logits=np.log(np.maximum(mean, _FLOOR)), logits_hflip=None)


def scaled(split: Split, temperature: float) -> Split:
    """Logits over a temperature; no class changes its place."""
    return replace(split, logits=split.logits.astype(np.float64) / temperature)


def fitted_temperature(val: Split) -> float:
    """The temperature of least NLL on `val` (Guo et al. 2017, arXiv:1706.04599).

    The NLL is convex in 1 / T, so that in log T it has one minimum.
    """
    logits = val.logits.astype(np.float64)
    below = logits - logits.max(axis=1, keepdims=True)
    of_true = below[np.arange(len(below)), val.label].mean()

    def nll(log_temperature: float) -> float:
        beta = np.exp(-log_temperature)
        return float(np.log(np.exp(beta * below).sum(axis=1)).mean() - beta * of_true)

    found = optimize.minimize_scalar(nll, bounds=(-_HOTTEST, _HOTTEST), method="bounded")
    return float(np.exp(found.x))


def adjusted(split: Split, log_prior: Floats, tau: float) -> Split:
    """Logits minus tau times the log prior [K] (Menon et al. 2021, arXiv:2007.07314)."""
    return replace(split, logits=split.logits - tau * log_prior)


def seen_log_prior(label: NDArray[np.integer], n_classes: int, sampler_power: float) -> Floats:
    """Logarithm of the class shares that training saw, [K], from the classes of `val` [N].

    `val` is cut from the training images class by class and has their shares; a class that it lacks counts half an
    image. A sampler of power q draws classes as n^(1 - q).
    """
    n = np.maximum(np.bincount(label, minlength=n_classes), 0.5) ** (1 - sampler_power)
    return np.asarray(np.log(n / n.sum()))


def fitted_tau(val: Split, log_prior: Floats) -> float:
    """The tau of the best balanced accuracy on `val`, the smallest of equals."""
    sizes = np.bincount(val.label, minlength=val.logits.shape[1])
    weight = 1 / (sizes[val.label] * (sizes > 0).sum())
    recalls = [float(weight[_hits(val, tau * log_prior)].sum()) for tau in _TAUS]
    return float(_TAUS[np.argmax(np.round(recalls, 12))])


def _hits(split: Split, shift: Floats) -> NDArray[np.bool_]:
    """Images whose true class has the largest logit less its shift [K], [N]; in the logits' own precision."""
    predicted = (split.logits - shift.astype(split.logits.dtype)).argmax(axis=1)
    return np.asarray(predicted == split.label)


def focal_inverse(split: Split, gamma: float) -> Split:
    """The class probabilities behind a minimiser of the focal loss; no class changes its place.

    Psi_i = h(v_i) / sum_j h(v_j), h(v) = v / ((1 - v)^g - g (1 - v)^(g - 1) v log v)
    (Charoenphakdee et al. 2021, arXiv:2011.09172).
    """
    v = np.clip(split.probabilities, _FLOOR, 1 - np.finfo(np.float64).epsneg)
    slope = (1 - v) ** gamma - gamma * (1 - v) ** (gamma - 1) * v * np.log(v)
    return replace(split, logits=np.log(v) - np.log(slope), logits_hflip=None)


def _fitted(test: Split, val: Split, levers: Mapping[str, Any]) -> list[Treated]:
    """The treatments that choose something on `val`."""
    temperature = fitted_temperature(val)
    found = [Treated(name=TEMPERATURE, split=scaled(test, temperature), fitted=temperature)]
    if not levers.get("logit_adjustment", 0):
        prior = seen_log_prior(val.label, val.logits.shape[1], float(levers.get("sampler_power", 0)))
        tau = fitted_tau(val, prior)
        found.append(Treated(name=LOGIT_ADJUSTMENT, split=adjusted(test, prior, tau), fitted=tau))
    return found
