"""A rented machine, and what a provider of such machines must be able to tell and do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dermtune.validation import UserError


class ProviderError(Exception):
    """The provider could not be asked, or gave no answer: that says nothing about the machine."""


class KeyRefusedError(ProviderError, UserError):
    """The provider does not take the key; the message says which variable holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine as its provider tells it."""

    id: str
    name: str
    status: str
    """In the provider's words; what it says is told, never relied on."""
    usd_per_hour: float | None
    """None where the provider tells none."""
    started: float | None
    """Seconds since 1970; None where the provider tells none."""
    host: str | None
    """Address for ssh; None before it has one."""
    port: int | None
    """Port for ssh at that address."""


class Provider(Protocol):
    """Who rents the machines out. Each call raises ProviderError where there is no answer that can be relied on."""

    url: str
    """Where it is asked."""
    account: str
    """The same for the same key, and not to be traced back to it."""

    def list(self) -> Sequence[Machine]:
        """All machines of the account."""
        ...

    def get(self, machine_id: str) -> Machine | None:
        """The machine; None where the provider says that there is none of that name."""
        ...

    def terminate(self, machine_id: str) -> bool:
        """Ask for the machine's end; whether that was accepted, which it is not where there is none of that name.

        It says nothing about whether the machine is gone.
        """
        ...
