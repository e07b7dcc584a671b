"""Machines that run and that nobody watches."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from infra.watchdog.journal import Charge, Journal, JournalError
from infra.watchdog.machine import Machine, Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """One of them."""

    machine_id: str
    machine: Machine | None
    """As the provider tells it; None where its list lacks it."""
    charge: Charge | None
    """What a watchdog of this computer has left of it; None where none ever knew it."""
    damage: str = ""
    """Why that cannot be read; empty where it can."""

    @property
    def name(self) -> str:
        """As a person calls it."""
        return self.machine.name if self.machine else self.charge.name if self.charge else ""

    def __str__(self) -> str:
        status = "in no list of the provider" if self.machine is None else self.machine.status
        price = (
            ""
            if self.machine is None or not self.machine.usd_per_hour
            else f", ${self.machine.usd_per_hour:g} an hour"
        )
        return f"{self.name or 'machine'} ({self.machine_id}): {status}{price}; {self._known()}"

    def _known(self) -> str:
        if self.damage:
            return self.damage
        if self.charge is None:
            return "no watchdog of this computer knows it"
        return f"its watchdog was killed; results go from {self.charge.place.remote} to {self.charge.place.into}"


def orphans(provider: Provider, journal: Journal, prefix: str) -> Sequence[Orphan]:
    """All of them; those that were watched come first. Raises ProviderError where the provider does not answer."""
    machines = {machine.id: machine for machine in provider.list()}
    kept = journal.kept()
    left = [
        _left(machine_id, machines.get(machine_id), journal)
        for machine_id in kept
        if not journal.is_watched(machine_id)
    ]
    return [*left, *_unknown(machines.values(), kept, prefix)]


def _left(machine_id: str, machine: Machine | None, journal: Journal) -> Orphan:
    try:
        return Orphan(machine_id=machine_id, machine=machine, charge=journal.read(machine_id))
    except JournalError as error:
        return Orphan(machine_id=machine_id, machine=machine, charge=None, damage=str(error))


def _unknown(machines: Iterable[Machine], kept: Sequence[str], prefix: str) -> Iterator[Orphan]:
    for machine in machines:
        if machine.name.startswith(prefix) and machine.id not in kept:
            yield Orphan(machine_id=machine.id, machine=machine, charge=None)
