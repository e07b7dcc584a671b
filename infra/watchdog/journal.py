"""The machines that somebody here is responsible for: a folder each, written before a machine counts as watched."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dermtune.durable import read_json, sync_folder, write_json
from dermtune.ledger import LedgerError
from dermtune.ledger.lock import held, is_held
from dermtune.validation import UserError
from infra.watchdog.limits import Limits, Rent
from infra.watchdog.state import State

FORMAT = 1

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class JournalError(UserError):
    """What is kept of a machine cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How a machine is reached, and which results go where."""

    remote: str
    """The sweep's folder on the machine."""
    into: str
    """That folder here, absolute."""
    host: str | None
    """`user@host`; None: where the provider says it is."""
    port: int | None
    ssh: str | None
    """Command and options; None: OpenSSH's, with a file of known hosts for this machine alone."""
    rsync: str
    python: str
    usd_per_hour: float | None
    """A price that holds whatever the provider says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where ssh finds a machine, as its provider has told."""

    host: str
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A machine that is watched, and all that the next start must know to go on with it."""

    machine_id: str
    name: str
    api_url: str
    place: Place
    limits: Limits
    state: State
    account: str = ""
    """Of the provider; empty in what was written before it was kept."""
    address: Address | None = None
    """The last that was told: it is asked there also while the provider does not answer."""
    is_named: bool = False
    """Whether the machine has ever said which one it is: then it must."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Charge":
        """From `to_dict`. Raises LookupError, TypeError or ValueError where it is something else."""
        if plain["format"] != FORMAT:
            raise ValueError(f"must be of format {FORMAT}, got {plain['format']!r}")
        state, address = dict(plain["state"]), plain.get("address")
        return cls(
            machine_id=plain["machine_id"],
            name=plain["name"],
            api_url=plain["api_url"],
            place=Place(**plain["place"]),
            limits=Limits(**plain["limits"]),
            state=State(**{**state, "rent": Rent(**state["rent"])}),
            account=plain.get("account", ""),
            address=None if address is None else Address(**address),
            is_named=plain.get("is_named", False),
        )


class Journal:
    """The folder of all machines: `<machine_id>/watch.json` as long as one is there, then `report.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, machine_id: str) -> Path:
        """A machine's folder. Raises JournalError where the id is no plain name."""
        if not _ID.fullmatch(machine_id):
            raise JournalError(f"a machine's id must be letters, digits, - and _, got {machine_id!r}")
        return self._folder / machine_id

    @contextlib.contextmanager
    def alone(self, machine_id: str) -> Iterator[Path]:
        """The machine's folder for this process. Raises JournalError where another watches it."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(held(self.of(machine_id)))
            except LedgerError as error:
                raise JournalError(f"{machine_id} must have one watchdog: {error}") from None
            yield self.of(machine_id)

    def write(self, charge: Charge) -> None:
        """Write down what is known; it is on the disk when this returns. Raises OSError where it cannot be."""
        write_json(self.of(charge.machine_id) / "watch.json", charge.to_dict())

    def read(self, machine_id: str) -> Charge | None:
        """What is kept of the machine; None where nobody is responsible for it. Raises JournalError."""
        path = self.of(machine_id) / "watch.json"
        try:
            return Charge.from_dict(read_json(path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise JournalError(
                f"{path} must say how {machine_id} is watched: {error!r}; look after that machine by hand "
                "and move the file away"
            ) from None

    def close(self, machine_id: str, report: Mapping[str, Any]) -> None:
        """The machine is gone: its report takes the place of what was needed to watch it."""
        folder = self.of(machine_id)
        write_json(folder / "report.json", report)
        (folder / "watch.json").unlink(missing_ok=True)
        sync_folder(folder)

    def kept(self) -> list[str]:
        """Ids of the machines that somebody is responsible for, whether they are watched now or not."""
        names = (path.parent.name for path in self._folder.glob("*/watch.json"))
        return sorted(name for name in names if _ID.fullmatch(name))

    def is_watched(self, machine_id: str) -> bool:
        """Whether a watchdog of this computer watches the machine now."""
        return is_held(self.of(machine_id))


def default_folder() -> Path:
    """Where the journal is kept unless another folder is named: with the user's other state."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "dermtune" / "watchdog"
