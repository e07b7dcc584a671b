"""What a trial sends: an epoch's checkpoint or its whole result, in a parcel that counts once its list is there."""

import contextlib
import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from dermtune.checkpoints import SEAL, newest_sealed, step_of
from dermtune.depot.store import DepotError, Store
from dermtune.durable import read_json, sha256
from dermtune.ledger import SEALED, TrialFolder

LIST = "parcel.json"
"""A parcel's last file: the names and hashes of the others."""
RESULT = "result"
STATE = ("history.csv", "attempts.json", "notices.json")
"""What a trial has beside its checkpoints while it is under way, as far as it is there."""
KEPT = 2
"""Epochs of a trial that stay in the storage, as in its folder: where the last is damaged there is one more."""


_BELOW = re.compile(r"(?P<trial_id>[\w-]+)/")
_PLACE = re.compile(r"[\w-]+/(?P<label>result|\d+)-(?P<sent>\d+)-[0-9a-f]+")
"""A trial's parcel, below the sweep's place: never another name, which could lead out of a sweep's folder."""


class Damaged(Exception):
    """What lies in the storage is not what was sent, or is gone: it counts for nothing.

    Never a storage that is away: what lies there then is to be had later.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One that is whole."""

    name: str
    """Where it lies in the store."""
    step: int
    """Of its checkpoint; 0 where it has none."""
    sent: int
    """By the sender's clock, milliseconds since 1970: which of the same step is the later."""
    is_result: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Depot:
    """A sweep's parcels in a storage. Every method raises DepotError where the storage cannot be used."""

    store: Store
    key: str
    """The sweep's own place in it."""
    patience: float = 20.0
    """Seconds that an epoch waits for a storage that is away."""
    last_patience: float = 600.0
    """Seconds that a result waits: without it the trial was for nothing."""

    def until(self, is_over: Callable[[], bool]) -> "Depot":
        """The same, for one who leaves off as soon as that is so: what is under way raises DepotError then."""
        return replace(self, store=replace(self.store, is_over=is_over))

    def send_epoch(self, trial: TrialFolder, *, patience: float | None = None) -> None:
        """Send its newest whole checkpoint and what the trial took so far; the epochs before the last two go."""
        patience = self.patience if patience is None else patience
        checkpoint = newest_sealed(trial.checkpoint)
        hashes: dict[str, str] = {}
        if checkpoint is not None:
            below = checkpoint.relative_to(trial.path).as_posix()
            hashes = {f"{below}/{name}": str(of) for name, of in read_json(checkpoint / SEAL).items()}
            hashes[f"{below}/{SEAL}"] = sha256(checkpoint / SEAL)
        self._send(trial, str(step_of(checkpoint) if checkpoint else 0), hashes, patience)
        with contextlib.suppress(DepotError):  # it is sent, the next one removes them
            self.remove(self.parcels(trial.path.name, patience=patience)[KEPT:])

    def send_account(self, trial: TrialFolder) -> None:
        """Send what the trial took so far alone. It stays until the trial has gone on, and so has it in its own."""
        self._send(trial, "0", {}, self.patience)

    def send_result(self, trial: TrialFolder) -> None:
        """Send all that a trial that is done leaves; its epochs go."""
        names = [*SEALED, "manifest.json", *(f"model/{path.name}" for path in sorted(trial.model.glob("*")))]
        self._send(trial, RESULT, {name: sha256(trial.path / name) for name in names}, self.last_patience)
        with contextlib.suppress(DepotError):  # it is sent, and the driver removes all
            self.remove([parcel for parcel in self.parcels(trial.path.name) if not parcel.is_result])

    def parcels(self, trial_id: str, *, patience: float | None = None) -> list[Parcel]:
        """The trial's whole parcels: its result before its epochs, the latest first."""
        found = self.all_parcels(trial_id, patience=patience)
        return found.get(trial_id, [])

    def senders(self) -> set[str]:
        """The trial_ids of those of whom anything lies there, whole or not."""
        names = self.store.names(self.key, patience=self.patience)
        places = (_BELOW.match(name.removeprefix(f"{self.key}/")) for name in names)
        return {place["trial_id"] for place in places if place}

    def knock(self) -> None:
        """Raises DepotError where it cannot be asked what is there."""
        self.store.names(f"{self.key}/-", patience=self.patience)

    def all_parcels(self, below: str = "", *, patience: float | None = None) -> dict[str, list[Parcel]]:
        """As `parcels`, by trial_id."""
        place = f"{self.key}/{below}".rstrip("/")
        names = self.store.names(place, patience=self.patience if patience is None else patience)
        parcels: dict[str, list[Parcel]] = {}
        for name in names:
            if name.endswith(f"/{LIST}"):
                place, trial_id, label = name.removesuffix(f"/{LIST}").rsplit("/", 2)
                if place == self.key and (known := _PLACE.fullmatch(f"{trial_id}/{label}")):
                    is_result = known["label"] == RESULT
                    parcel = Parcel(
                        name=f"{place}/{trial_id}/{label}",
                        step=0 if is_result else int(known["label"]),
                        sent=int(known["sent"]),
                        is_result=is_result,
                    )
                    parcels.setdefault(trial_id, []).append(parcel)
        return {
            i: sorted(of, key=lambda p: (p.is_result, p.step, p.sent), reverse=True) for i, of in parcels.items()
        }

    def listed(self, parcel: Parcel) -> Mapping[str, str]:
        """The hashes of its files, by their names in the trial's folder. Raises Damaged."""
        content = self._content(parcel, LIST)
        try:
            hashes = json.loads(content)
        except ValueError:
            hashes = None
        if not isinstance(hashes, dict) or not all(map(_is_inside, hashes)):
            raise Damaged(f"{parcel.name}/{LIST} must list files of a trial's folder")
        return {str(name): str(of) for name, of in hashes.items()}

    def content(self, parcel: Parcel, name: str) -> bytes:
        """One of its small files. Raises Damaged where it is not what was sent, or was not."""
        content = self._content(parcel, name)
        if hashlib.sha256(content).hexdigest() != self.listed(parcel).get(name):
            raise Damaged(f"{parcel.name}/{name} is not what was sent")
        return content

    def fetch(self, parcel: Parcel, names: Sequence[str], trial: TrialFolder) -> None:
        """Bring these files of it, each whole. Raises Damaged where one is not what was sent."""
        hashes = self.listed(parcel)
        for name in names:
            came = self.store.fetch(f"{parcel.name}/{name}", trial.path / name, patience=self.patience)
            if came is None:
                raise Damaged(f"{parcel.name}/{name} is gone")
            if came != hashes.get(name):
                (trial.path / name).unlink()
                raise Damaged(f"{parcel.name}/{name} is not what was sent")

    def remove(self, parcels: Sequence[Parcel]) -> None:
        """Remove parcels: first their lists, so that what is cut off here counts no more."""
        for parcel in parcels:
            self.store.remove(f"{parcel.name}/{LIST}", patience=self.patience)
            self.store.remove_below(parcel.name, patience=self.patience)

    def forget(self, trial_id: str) -> None:
        """Remove all that the trial sent."""
        self.remove(self.parcels(trial_id))
        self.store.remove_below(f"{self.key}/{trial_id}", patience=self.patience)

    def check(self, *, patience: float = 0.0) -> None:
        """Raises DepotError where nothing can be written there and read again."""
        name = f"{self.key}/{uuid.uuid4().hex}.probe"
        self.store.send_bytes(b"dermtune", name, patience=patience)
        if self.store.read(name, patience=patience) is None:
            raise DepotError(f"{self.store} must keep what is written there, {name} is gone")
        self.store.remove(name, patience=patience)

    def _content(self, parcel: Parcel, name: str) -> bytes:
        content = self.store.read(f"{parcel.name}/{name}", patience=self.patience)
        if content is None:
            raise Damaged(f"{parcel.name}/{name} is gone")
        return content

    def _send(self, trial: TrialFolder, label: str, hashes: Mapping[str, str], patience: float) -> None:
        """Send the files and, last, their list. The name is new each time: two workers never write one parcel.

        What the trial took is written down while this runs, so it is read once.
        """
        place = f"{self.key}/{trial.path.name}/{label}-{time.time_ns() // 10**6}-{uuid.uuid4().hex[:12]}"
        for name in hashes:
            self.store.send(trial.path / name, f"{place}/{name}", patience=patience)
        states = {name: (trial.path / name).read_bytes() for name in STATE if (trial.path / name).exists()}
        states = {name: content for name, content in states.items() if name not in hashes}
        for name, content in states.items():
            self.store.send_bytes(content, f"{place}/{name}", patience=patience)
        listed = {**hashes, **{name: hashlib.sha256(content).hexdigest() for name, content in states.items()}}
        self.store.send_bytes(json.dumps(listed, indent=1).encode(), f"{place}/{LIST}", patience=patience)


def _is_inside(name: str) -> bool:
    """Whether this can only be a file in the trial's folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts
