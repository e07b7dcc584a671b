"""How much each resampled unit carries of a score: one matrix that the variance and the bootstrap share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from analysis.metrics import Features, Floats, Metric, Outcome, metric_named, one_hot

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """What is drawn anew when the test set is: groups of images (an image is its own group), within strata."""

    of_image: Ints
    """The unit of each image, [N], 0..G-1."""
    stratum: Ints
    """The stratum of each unit, [G], 0..S-1, ascending."""
    sizes: Ints
    """Units of each stratum, [S]."""
    label: Ints
    """The class of each image, [N]."""
    class_sizes: Floats
    """Images of each class, [K]."""
    merged: NDArray[np.bool_]
    """Classes whose stratum is not theirs alone, [K]."""
    whole: bool
    """Some group spans classes: units are drawn from the whole set, and their influence is a jackknife's."""
    notes: tuple[str, ...] = ()

    @property
    def n_units(self) -> int:
        """G."""
        return len(self.stratum)

    @property
    def inflation(self) -> Floats:
        """G_s / (G_s - 1) of each unit's stratum, [G]: a sum of squares becomes an unbiased variance."""
        return (self.sizes / (self.sizes - 1))[self.stratum]

    @property
    def masses(self) -> Features:
        """Images of each class in each unit, [G, K]."""
        return self.totals(one_hot(self.label, len(self.class_sizes), np.ones(len(self.label))))

    def totals(self, features: Features) -> Features:
        """Sums [G, P] over the images of each unit of features [N, P]."""
        membership = one_hot(self.of_image, self.n_units, np.ones(len(self.of_image)))
        return sparse.csr_array(membership.T @ features)

    def centred(self, values: Floats) -> Floats:
        """Unit values [G] minus the mean of their stratum."""
        means = np.bincount(self.stratum, values) / self.sizes
        return values - means[self.stratum]

    def by_stratum(self, values: Floats) -> Floats:
        """Sums [S] over the units of each stratum of values [G]."""
        return np.asarray(np.bincount(self.stratum, values), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One metric of one arm: its seeds' scores, and what each unit carries of them."""

    arm: str
    seeds: tuple[int, ...]
    scores: Floats
    """Scores, [R], in the order of `seeds`."""
    influence: Floats
    """Influence of each unit on each score, [R, G], centred within strata."""


def units_of(label: Ints, group: NDArray[np.str_], n_classes: int) -> Units:
    """The units of a test set: groups within their class, classes with one unit merged into a stratum.

    Args:
        label: true class of each image, [N].
        group: lesion, patient or case of each image, [N]; at least two of them.
        n_classes: K; classes without images are allowed.
    """
    names, first, of_image = np.unique(group, return_index=True, return_inverse=True)
    class_of_unit = label[first]
    n_spanning = len(np.unique(of_image[class_of_unit[of_image] != label]))
    if n_spanning:
        stratum_of_class = np.zeros(n_classes, dtype=np.int64)
        groups = "1 group spans" if n_spanning == 1 else f"{n_spanning} groups span"
        notes = [f"{groups} classes: whole groups are drawn, without strata"]
    else:
        stratum_of_class, notes = _strata(np.bincount(class_of_unit, minlength=n_classes))
    # Units are numbered stratum by stratum, so that a stratum is a slice.
    order = np.argsort(stratum_of_class[class_of_unit], kind="stable")
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    _, stratum, sizes = np.unique(stratum_of_class[class_of_unit][order], return_inverse=True, return_counts=True)
    sharing = np.bincount(stratum_of_class[np.unique(label)], minlength=n_classes)
    if len(names) < len(label):
        notes.append("images of one group are drawn together")
    return Units(
        of_image=number[of_image],
        stratum=stratum,
        sizes=sizes,
        label=label,
        class_sizes=np.bincount(label, minlength=n_classes).astype(np.float64),
        merged=sharing[stratum_of_class] > 1,
        whole=bool(n_spanning),
        notes=tuple(notes),
    )


def no_units() -> Units:
    """The units of runs of which no image is known."""
    none = np.empty(0, dtype=np.int64)
    return Units(
        of_image=none,
        stratum=none,
        sizes=none,
        label=none,
        class_sizes=np.empty(0),
        merged=np.empty(0, dtype=np.bool_),
        whole=False,
    )


def measure(metric: Metric, arm: str, outcomes: Sequence[tuple[int, Outcome]], units: Units) -> Measured:
    """The metric of each seed of an arm, with its units' influence; `outcomes` are (seed, outcome)."""
    return _measured(metric, arm, {seed: metric.features(outcome) for seed, outcome in outcomes}, units)


def measure_means(arm: str, values: Mapping[int, Floats], units: Units) -> Measured:
    """A mean over images of one number an image, [N] a seed.

    With a score plus each image's influence on it for numbers, this is that score, linear in the images.
    """
    metric = metric_named("top1", classes=(), sizes=units.class_sizes)
    k = len(units.class_sizes)
    return _measured(metric, arm, {seed: one_hot(units.label, k, of_run) for seed, of_run in values.items()}, units)


def _measured(metric: Metric, arm: str, runs: Mapping[int, Features], units: Units) -> Measured:
    """The metric of the features of each seed."""
    influence = _jackknifed if units.whole else _linearised
    sums: dict[int, Floats] = {seed: np.asarray(features.sum(axis=0)) for seed, features in runs.items()}
    return Measured(
        arm=arm,
        seeds=tuple(runs),
        scores=np.asarray([float(metric.value(of_run, units.class_sizes)) for of_run in sums.values()]),
        influence=np.stack([influence(metric, features, sums[seed], units) for seed, features in runs.items()]),
    )


def _linearised(metric: Metric, features: Features, sums: Floats, units: Units) -> Floats:
    """First-order influence of each unit on the score, [G], centred within strata.

    In a merged stratum a class's own part of the score is shared out among its units: a class with one unit has no
    variance of its own to see, and the spread between classes stands in for it (collapsed strata; Cochran 1977,
    Sampling Techniques, section 5A.12).
    """
    slope = metric.gradient(sums, units.class_sizes)
    of_sums: Floats = np.asarray(features @ slope.sums)
    of_images = of_sums + slope.masses[units.label]
    values = np.asarray(np.bincount(units.of_image, of_images), dtype=np.float64)
    if units.merged.any():
        values += _own_share(values, of_sums, units)
    return units.centred(values)


def _own_share(values: Floats, of_sums: Floats, units: Units) -> Floats:
    """What moves the units of merged classes, [G], from around their class's mean to its part of the score."""
    class_of_unit = np.empty(units.n_units, dtype=np.int64)
    class_of_unit[units.of_image] = units.label
    k = len(units.merged)
    n_units = np.maximum(np.bincount(class_of_unit, minlength=k), 1)
    own = np.bincount(units.label, of_sums, minlength=k)
    seen = np.bincount(class_of_unit, values, minlength=k)
    return np.asarray(np.where(units.merged, (own - seen) / n_units, 0)[class_of_unit])


def _jackknifed(metric: Metric, features: Features, sums: Floats, units: Units) -> Floats:
    """Influence of each unit from the score without it, [G]: its squares sum to the delete-one jackknife's."""
    of_units, masses = units.totals(features).toarray(), units.masses.toarray()
    without = metric.value(sums - of_units, masses.sum(axis=0) - masses)
    n = units.n_units
    return units.centred(-without) * (n - 1) / n


def _strata(n_units: Ints) -> tuple[Ints, list[str]]:
    """The stratum of each class, [K], and what to tell of it, from each class's units [K]."""
    stratum = np.arange(len(n_units))
    single = np.flatnonzero(n_units == 1)
    if not len(single):
        return stratum, []
    merged = single
    if len(single) == 1:
        larger = np.where(n_units > 1, n_units, np.iinfo(np.int64).max)
        merged = np.append(single, larger.argmin())
    stratum[merged] = merged[0]
    return stratum, [
        f"{len(single)} {'class has' if len(single) == 1 else 'classes have'} a single unit: "
        "the variance between rare classes stands in for theirs"
    ]
