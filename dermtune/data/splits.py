"""Grouped and stratified splits: no lesion on both sides, every class on each."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermtune.data.manifest import DataError, Manifest


def with_val(manifest: Manifest, val_fraction: float, seed: int) -> Manifest:
    """The manifest with a val split: its own where it has one, else cut from train. Raises DataError."""
    if (manifest.split == "val").any():
        return manifest
    train = manifest.split == "train"
    val = cut_val(manifest.label[train], manifest.group_id[train], val_fraction, np.random.default_rng(seed))
    if not val.any():
        raise DataError(
            f"{manifest.metadata}: some class must have two groups in train, so that val can be cut from it; "
            "none has: add images or a val split"
        )
    split = manifest.split.copy()
    split[np.flatnonzero(train)[val]] = "val"
    return replace(manifest, split=split)


def cut_val(
    label: NDArray[np.int64], group: NDArray[np.str_], fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which images go to val, [N]: whole groups, about `fraction` of every class's images.

    Greedy over groups in random order: a group is taken if that brings the classes nearer to their shares, and
    never if a class would lose its last training group. A class that is left without any then gets the group that
    disturbs the shares least. Where no group spans classes, a class's count in val is off by at most its largest
    group, and each class with two groups has one on each side. The order of the rows does not matter.
    """
    names, of_image = np.unique(group, return_inverse=True)
    counts = np.zeros((len(names), int(label.max()) + 1))
    np.add.at(counts, (of_image, label), 1)
    cut = _Cut.empty(counts, fraction)
    order = rng.permutation(len(names))
    for g in order:
        if cut.spares_train(g) and cut.rise(g) < 0:
            cut.take(g)
    for c in np.argsort(counts.sum(axis=0), kind="stable"):
        if cut.has_class(c):
            continue  # nearly always: to look through all groups takes seconds where they are a million
        if candidates := [g for g in order if counts[g, c] and cut.spares_train(g)]:
            cut.take(min(candidates, key=cut.rise))
    return cut.chosen[of_image]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """A cut being made; its arrays change as groups are taken."""

    counts: NDArray[np.float64]
    """Images of each group and class, [G, K]."""
    wanted: NDArray[np.float64]
    """Images of each class that val should have, [K]."""
    taken: NDArray[np.float64]
    """Images of each class that val has, [K]."""
    train_groups: NDArray[np.int64]
    """Groups of each class that train still has, [K]."""
    chosen: NDArray[np.bool_]
    """Groups in val, [G]."""

    @classmethod
    def empty(cls, counts: NDArray[np.float64], fraction: float) -> "_Cut":
        return cls(
            counts=counts,
            wanted=fraction * counts.sum(axis=0),
            taken=np.zeros(counts.shape[1]),
            train_groups=(counts > 0).sum(axis=0),
            chosen=np.zeros(len(counts), dtype=np.bool_),
        )

    def rise(self, g: int) -> float:
        """Rise of sum_c (taken - wanted)^2 / wanted if group g were taken; negative where it helps."""
        c = np.flatnonzero(self.counts[g])
        m = self.counts[g, c]
        return float((m * (m + 2 * (self.taken[c] - self.wanted[c])) / self.wanted[c]).sum())

    def spares_train(self, g: int) -> bool:
        """Whether group g is still in train and is no class's last one there."""
        return not self.chosen[g] and bool((self.train_groups[self.counts[g] > 0] > 1).all())

    def has_class(self, c: int) -> bool:
        return bool(self.taken[c] > 0)

    def take(self, g: int) -> None:
        self.chosen[g] = True
        self.taken[:] += self.counts[g]
        self.train_groups[:] -= self.counts[g] > 0


def refuse_shared_groups(manifest: Manifest) -> None:
    """Raise DataError that lists the groups standing in two splits."""
    pairs = pd.DataFrame({"group": manifest.group_id, "split": manifest.split}).drop_duplicates()
    shared = pairs[pairs["group"].duplicated(keep=False)]
    if len(shared):
        where = shared.groupby("group", sort=True)["split"].agg(lambda splits: " and ".join(sorted(splits)))
        shown = ", ".join(f"{group} ({splits})" for group, splits in where.head(10).items())
        more = ", ..." if len(where) > 10 else ""
        raise DataError(
            f"{manifest.metadata}: a group must stand in one split only; {len(where)} stand in two: {shown}{more}"
        )
