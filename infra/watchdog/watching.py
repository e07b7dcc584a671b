"""The loop around the decision: look, decide, write down, do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.words import count
from infra.watchdog.checking import Check, OnTime, Pulled, compare, unhurried
from infra.watchdog.decision import step
from infra.watchdog.journal import Address, Charge, Journal
from infra.watchdog.listing import Listing
from infra.watchdog.machine import Machine, Provider
from infra.watchdog.reaching import reach
from infra.watchdog.remote import OtherMachineError, Remote, RemoteError
from infra.watchdog.report import Report
from infra.watchdog.standing import Standing, standing
from infra.watchdog.state import Action, Presence, Sight, State
from infra.watchdog.view import Glance, View

GPU_WORKS = 5
"""Percent from which a GPU counts as working."""


class Watcher:
    """Watches one machine that the journal has, to its end.

    Whatever goes wrong on the way, by a fault of its own too, is said, and it goes on: limits hold all the same.
    """

    def __init__(
        self,
        charge: Charge,
        provider: Provider,
        journal: Journal,
        view: View,
        *,
        shout: Callable[[Report], Any],
        clock: Callable[[], float],
        sleep: Callable[[float], Any],
    ) -> None:
        self.charge = charge
        self._written = charge
        self._provider = provider
        self._journal = journal
        self._view = view
        self._shout = shout
        self._clock = clock
        self._sleep = sleep
        self._results = Pulled(Path(charge.place.into))
        self._is_other = False
        """Whether another machine has answered for this one."""
        self._listing: Listing | None = None
        self._standing: Standing | None = None
        self._check: Check | None = None
        self._pulled = self._secured = self._signalled = self._heard = False
        """What came of the last action."""

    def run(self) -> Report:
        """What came of it, once the machine is gone or given up as still running."""
        while True:
            sight = self._look()
            self._pulled = self._secured = self._signalled = self._heard = False
            state, action = step(self.charge.state, sight, self.charge.limits)
            self._write(state)
            self._show(sight)
            if action.do == "end":
                return self._report()
            self._do(action)

    def _look(self) -> Sight:
        presence, machine = self._ask()
        listing = self._list() if self.charge.state.phase in ("watching", "ending") else None
        if listing is not None and listing.machine_id == self.charge.machine_id:
            presence = "there"  # it says so itself
        return Sight(
            now=self._clock(),
            presence=presence,
            usd_per_hour=self.charge.place.usd_per_hour or (machine.usd_per_hour if machine else None),
            driver=None if listing is None else listing.driver,
            trace=None if listing is None else listing.trace,
            busy=listing is not None and (listing.gpu or 0) >= GPU_WORKS,
            over=self._standing is not None and self._standing.over,
            pulled=self._pulled,
            secured=self._secured,
            signalled=self._signalled,
            heard=self._heard,
        )

    def _ask(self) -> tuple[Presence, Machine | None]:
        """Whether the provider has the machine; where it has none by its id, its list is asked, too."""
        machine_id = self.charge.machine_id
        try:
            told = self._provider.get(machine_id)
            if told is None or told.status == "TERMINATED":
                among = next((machine for machine in self._provider.list() if machine.id == machine_id), None)
                if among is None:
                    return "absent", None
                told = told or among
        except Exception as error:  # noqa: BLE001 no answer is no answer
            self._view.failed(error)
            return "unknown", None
        if told.status != "RUNNING":
            said = f"{machine_id} is {told.status}, and billed all the same; it must run for results to be pulled"
            self._view.warned(said)
        if told.host:
            self.charge = replace(self.charge, address=Address(host=told.host, port=told.port))
        return "there", told

    def _list(self) -> Listing | None:
        """What lies there; None where the machine does not answer. It is asked whatever its provider says."""
        try:
            self._listing = self._remote().look(within=3 * self.charge.limits.answer)
        except Exception as error:  # noqa: BLE001 as above
            self._is_other = isinstance(error, OtherMachineError) or self._is_other
            self._view.failed(error)
            return None
        self._is_other = False
        if self._listing.machine_id is not None:
            self.charge = replace(self.charge, is_named=True)
        return self._listing

    def _remote(self) -> Remote:
        remote = reach(self.charge, self._journal.of(self.charge.machine_id))
        if remote is None:
            raise RemoteError(f"{self.charge.machine_id} cannot be reached by ssh: it has no address yet")
        return remote

    def _reached(self) -> Remote:
        """The way to what has answered as the machine."""
        if self._is_other:
            raise RemoteError(f"{self.charge.machine_id} cannot be reached by ssh: another machine answers")
        return self._remote()

    def _write(self, state: State) -> None:
        """Keep what is known; a disk that takes it no more ends no watch."""
        self.charge = replace(self.charge, state=state)
        if self.charge != self._written:
            try:
                self._journal.write(self.charge)
                self._written = self.charge
            except Exception as error:  # noqa: BLE001 the watch is worth more than what is known of it
                self._view.warned(f"what is known cannot be written down: {error}")

    def _show(self, sight: Sight) -> None:
        try:
            glance = Glance(charge=self.charge, standing=self._standing, driver=sight.driver, now=sight.now)
            self._view.shows(glance)
        except Exception as error:  # noqa: BLE001 as above
            self._view.failed(error)

    def _do(self, action: Action) -> None:
        """What was decided; what goes wrong is said, and the next look shows what came of it."""
        until = self._clock() + action.within
        try:
            match action.do:
                case "wait":
                    self._sleep(action.within)
                case "pull":
                    self._pull(until)
                case "stop":
                    self._stop()
                case "secure":
                    self._secure(until)
                case "terminate":
                    self._view.said(f"{self.charge.machine_id}: its end is asked for")
                    self._heard = self._provider.terminate(self.charge.machine_id)
                case "shout":
                    self._shout(self._report())
        except Exception as error:  # noqa: BLE001 as above
            self._view.failed(error)

    def _pull(self, until: float) -> None:
        """Pull what lies there; by content where no sweep writes any more: that finds what a pull before spoilt."""
        by_content = self._listing is not None and not self._listing.driver
        self._bring(until, by_content=by_content)
        self._standing = standing(self._results.into, self._there())

    def _bring(self, until: float, *, by_content: bool) -> None:
        """One pull; to find what is whole here takes of its time."""
        keep = self._results.sealed(self._on_time(until))
        self._reached().pull(self._results.into, keep=keep, within=until - self._clock(), checksum=by_content)
        self._pulled = True

    def _stop(self) -> None:
        listing = self._reached().look(within=3 * self.charge.limits.answer, stop=True)
        self._signalled = listing.signalled
        if listing.signalled:
            self._view.said(f"{self.charge.machine_id}: the sweep was told to stop in order")
        elif listing.driver:
            self._view.warned(f"{self.charge.machine_id}: the sweep's driver could not be told to stop")

    def _secure(self, until: float) -> None:
        """Pull by content, list by content, compare."""
        self._bring(until, by_content=True)
        remote = self._reached()
        listing = self._listing = remote.look(within=until - self._clock(), hashes=True)
        self._standing = standing(self._results.into, self._there())
        self._check = self._results.check(listing, self._on_time(until))
        if not listing.is_sweep:
            self._view.warned(
                f"{remote.folder} on {self.charge.machine_id} is no sweep's folder: nothing there is safe"
            )
        elif not self._check.holds:
            bad = len(self._check.missing) + len(self._check.different)
            said = f"{count(bad, 'pulled file')} {'is' if bad == 1 else 'are'} not what lies on"
            self._view.warned(f"{said} {self.charge.machine_id}")
        else:
            self._secured = True

    def _on_time(self, until: float) -> OnTime:
        def check() -> None:
            if self._clock() > until:
                raise TimeoutError("what is here could not be compared in time")

        return check

    def _there(self) -> list[str]:
        return [] if self._listing is None else [*self._listing.files]

    def _report(self) -> Report:
        try:
            self._compare_at_last()
        except Exception as error:  # noqa: BLE001 there is a report whatever the disk says
            self._view.failed(error)
        now = self._clock()
        return Report(charge=self.charge, check=self._check, standing=self._standing, others=None, now=now)

    def _compare_at_last(self) -> None:
        """What could not be compared at the end is compared by what was last seen, and every trial is judged."""
        if not self.charge.state.safe and self._listing is not None:
            sealed = self._results.sealed(unhurried)
            self._check = compare(self._listing, self._results.into, sealed, unhurried)
        if self._check is not None:
            self._check = self._results.judged(self._check)
