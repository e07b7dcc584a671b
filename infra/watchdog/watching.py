"""The loop around the decision: look, decide, write down, do."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.words import count
from infra.watchdog.checking import Check, Pulled, compare
from infra.watchdog.decision import Action, Presence, Sight, State, step
from infra.watchdog.journal import Charge, Journal
from infra.watchdog.listing import Listing
from infra.watchdog.machine import Machine, Provider, ProviderError
from infra.watchdog.reaching import reach
from infra.watchdog.remote import OtherMachineError, Remote, RemoteError
from infra.watchdog.report import Report
from infra.watchdog.standing import Standing, standing
from infra.watchdog.view import Glance, View

GPU_WORKS = 5
"""Percent from which a GPU counts as working."""


class Watcher:
    """Watches one machine that the journal has, to its end."""

    def __init__(
        self,
        charge: Charge,
        provider: Provider,
        journal: Journal,
        view: View,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Any],
    ) -> None:
        self.charge = charge
        self._provider = provider
        self._journal = journal
        self._view = view
        self._clock = clock
        self._sleep = sleep
        self._results = Pulled(Path(charge.place.into))
        self._remote: Remote | None = None
        self._listing: Listing | None = None
        self._standing: Standing | None = None
        self._check: Check | None = None
        self._pulled = self._secured = self._signalled = False
        """What came of the last action."""

    def run(self) -> Report:
        """What came of it, once the machine is gone or given up as still running."""
        while True:
            sight = self._look()
            self._pulled = self._secured = self._signalled = False
            state, action = step(self.charge.state, sight, self.charge.limits)
            self._write(state)
            now, charge = self._clock(), self.charge
            self._view.shows(Glance(charge=charge, standing=self._standing, driver=sight.driver, now=now))
            if action.do == "end":
                return self._report()
            self._do(action)

    def _look(self) -> Sight:
        presence, machine = self._ask()
        listing = (
            self._list() if machine is not None and self.charge.state.phase in ("watching", "ending") else None
        )
        now = self._clock()
        return Sight(
            now=now,
            presence=presence,
            usd_per_hour=None if machine is None else machine.usd_per_hour,
            driver=None if listing is None else listing.driver,
            active=None if listing is None else now - (0.0 if (listing.gpu or 0) >= GPU_WORKS else listing.quiet),
            over=self._standing is not None and self._standing.over,
            pulled=self._pulled,
            secured=self._secured,
            signalled=self._signalled,
        )

    def _ask(self) -> tuple[Presence, Machine | None]:
        """Whether the machine is there, by both of the provider's answers."""
        machine_id, place = self.charge.machine_id, self.charge.place
        try:
            told, every = self._provider.get(machine_id), self._provider.list()
        except ProviderError as error:
            self._view.warned(str(error))
            return "unknown", None
        among = next((machine for machine in every if machine.id == machine_id), None)
        machine = told or among
        if machine is None or (among is None and machine.status == "TERMINATED"):
            return "absent", None
        if machine.status != "RUNNING":
            said = (
                f"{machine_id} is {machine.status}, and billed all the same; it must run for results to be pulled"
            )
            self._view.warned(said)
        self._remote = reach(machine, place, self._journal.of(machine_id))
        return "there", replace(machine, usd_per_hour=place.usd_per_hour or machine.usd_per_hour)

    def _list(self) -> Listing | None:
        """What lies there; None where the machine does not answer."""
        try:
            self._listing = self._reached().look(within=3 * self.charge.limits.answer)
        except RemoteError as error:
            self._view.warned(str(error))
            if isinstance(error, OtherMachineError):
                self._remote = None
            return None
        return self._listing

    def _reached(self) -> Remote:
        if self._remote is None:
            raise RemoteError(f"{self.charge.machine_id} cannot be reached by ssh: it has no address, or another's")
        return self._remote

    def _write(self, state: State) -> None:
        """Keep the state; a disk that takes it no more ends no watch."""
        if state != self.charge.state:
            self.charge = replace(self.charge, state=state)
            try:
                self._journal.write(self.charge)
            except OSError as error:
                self._view.warned(f"what is known cannot be written down: {error}")

    def _do(self, action: Action) -> None:
        """What was decided; what goes wrong is said, and the next look shows what came of it."""
        try:
            match action.do:
                case "wait":
                    self._sleep(action.within)
                case "pull":
                    self._pull(action.within)
                case "stop":
                    self._stop()
                case "secure":
                    self._secure(action.within)
                case "terminate":
                    self._view.said(f"{self.charge.machine_id}: its end is asked for")
                    self._provider.terminate(self.charge.machine_id)
        except (RemoteError, ProviderError, OSError) as error:
            self._view.warned(str(error))

    def _pull(self, within: float) -> None:
        """Pull what lies there; by content where no sweep writes any more: that finds what a pull before spoilt."""
        by_content = self._listing is not None and not self._listing.driver
        keep = self._results.sealed()
        self._reached().pull(self._results.into, keep=keep, within=within, checksum=by_content)
        self._pulled = True
        self._standing = standing(self._results.into, self._there())

    def _stop(self) -> None:
        listing = self._reached().look(within=3 * self.charge.limits.answer, stop=True)
        self._signalled = listing.signalled
        if listing.signalled:
            self._view.said(f"{self.charge.machine_id}: the sweep was told to stop in order")
        elif listing.driver:
            self._view.warned(f"{self.charge.machine_id}: the sweep's driver could not be told to stop")

    def _secure(self, within: float) -> None:
        """Pull by content, list by content, compare."""
        until, remote = self._clock() + within, self._reached()
        remote.pull(self._results.into, keep=self._results.sealed(), within=within, checksum=True)
        self._pulled = True
        self._listing = remote.look(within=until - self._clock(), hashes=True)
        self._standing = standing(self._results.into, self._there())
        self._check = self._results.check(self._listing)
        if not self._listing.is_sweep:
            self._view.warned(
                f"{remote.folder} on {self.charge.machine_id} is no sweep's folder: nothing there is safe"
            )
        elif not self._check.holds:
            bad = len(self._check.missing) + len(self._check.different)
            said = f"{count(bad, 'pulled file')} {'is' if bad == 1 else 'are'} not what lies on"
            self._view.warned(f"{said} {self.charge.machine_id}")
        else:
            self._secured = not self._listing.driver or self.charge.state.signalled

    def _there(self) -> list[str]:
        return [] if self._listing is None else [*self._listing.files]

    def _report(self) -> Report:
        if not self.charge.state.safe and self._listing is not None:
            with suppress(OSError):  # what could not be compared at the end is compared by what was last seen
                self._check = compare(self._listing, self._results.into, self._results.sealed())
        return Report(
            charge=self.charge, check=self._check, standing=self._standing, others=None, now=self._clock()
        )
