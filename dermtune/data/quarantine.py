"""Images that cannot be read: left out by name, up to a limit, and never in silence."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from analysis.words import count
from dermtune.config import DataConfig, canonical_json
from dermtune.data.manifest import SPLITS, DataError, Manifest, check_classes

NOWHERE = ""
"""The split of an image that is in none."""
_NAMED = 5
"""Images that a line names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One image that no trial sees."""

    sample_id: str
    file: str
    """Relative to the data folder."""
    split: str
    """The split that the metadata give it."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """All images that no trial sees."""

    images: tuple[Quarantined, ...] = ()
    """In the metadata's order."""
    listed: Mapping[str, int] = field(default_factory=dict)
    """Images of each split in the metadata, readable or not."""

    @property
    def unreadable(self) -> Mapping[str, int]:
        """How many there are, of each split that has any."""
        found = Counter(image.split for image in self.images)
        return {split: found[split] for split in SPLITS if found[split]}

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """The same beside how many the metadata list, as manifests have it; empty where every image can be read."""
        return {split: {"unreadable": n, "listed": self.listed[split]} for split, n in self.unreadable.items()}

    def table(self) -> str:
        """The list as CSV: sample_id, file, split, reason."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(f.name for f in fields(Quarantined))
        writer.writerows(map(astuple, self.images))
        return text.getvalue()

    def said(self, where: str = "") -> str:
        """One line: how many, the first names with their reasons, and where the list is."""
        parts = [f"{n:,} of {self.listed[split]:,} in {split}" for split, n in self.unreadable.items()]
        listed = f"; {where} lists all" if where else ""
        return f"images that cannot be read are left out, {' and '.join(parts)}: {self._named()}{listed}"

    def refuse_above(self, config: DataConfig, data_dir: Path) -> None:
        """Raise DataError where a split has more of them than the config allows."""
        above = [split for split, n in self.unreadable.items() if n > self._allowed(split, config)]
        if above:
            raise DataError(
                f"{data_dir}: images must be readable and whole; "
                f"{' and '.join(self._above(split, config) for split in above)}: "
                f"{self._named(*above)}; mend them, or take their rows out of {config.metadata}"
            )

    def _above(self, split: str, config: DataConfig) -> str:
        verb = "is" if self.unreadable[split] == 1 else "are"
        many = f"{self.unreadable[split]:,} of {count(self.listed[split], f'{split} image')} {verb} not"
        limit = f"{_limit(split)}={_share(config, split):g}"
        return f"{many}, where {limit} allows {self._allowed(split, config) or 'none'}"

    def _allowed(self, split: str, config: DataConfig) -> int:
        return int(_share(config, split) * self.listed[split] + 1e-9)

    def _named(self, *splits: str) -> str:
        images = [image for image in self.images if not splits or image.split in splits]
        shown = [_printable(f"{image.file} ({image.reason})") for image in images[:_NAMED]]
        return ", ".join(shown) + (", ..." if len(images) > _NAMED else "")


def quarantine(manifest: Manifest, unreadable: Mapping[int, str]) -> Quarantine:
    """The rows of the metadata whose images cannot be read, by name."""
    listed = Counter(manifest.split.tolist())
    return Quarantine(
        images=tuple(_quarantined(manifest, unreadable)), listed={split: listed[split] for split in SPLITS}
    )


def without(manifest: Manifest, found: Quarantine) -> Manifest:
    """The manifest with the quarantined images in no split; their rows stay, so that the others keep their places.

    Raises DataError where a class is left that cannot be both trained and tested, or a val split of nothing.
    """
    split = manifest.split.copy()
    split[np.isin(manifest.sample_id, [image.sample_id for image in found.images])] = NOWHERE
    where = f"{manifest.metadata} without {count(len(found.images), 'image')} that cannot be read"
    check_classes(where, np.asarray(manifest.classes)[manifest.label], split)
    if found.listed["val"] and not (split == "val").any():
        raise DataError(f"{where}: must have val images, got none")
    return replace(manifest, split=split)


def identity(content: str, found: Quarantine) -> str:
    """The fingerprint of what is trained on: of all files' content, and of what was left out where anything was."""
    if not found.images:
        return content
    what = [content, [image.sample_id for image in found.images]]
    return hashlib.sha256(canonical_json(what).encode()).hexdigest()


def _quarantined(manifest: Manifest, unreadable: Mapping[int, str]) -> Iterator[Quarantined]:
    for row in sorted(unreadable):
        yield Quarantined(
            sample_id=str(manifest.sample_id[row]),
            file=manifest.files[row],
            split=str(manifest.split[row]),
            reason=unreadable[row],
        )


def _limit(split: str) -> str:
    return "max_unreadable_train" if split == "train" else "max_unreadable_eval"


def _share(config: DataConfig, split: str) -> float:
    share: float = getattr(config, _limit(split))
    return share


def _printable(text: str) -> str:
    """The text, with what ends a line or steers a terminal written out."""
    return text if text.isprintable() else repr(text)
