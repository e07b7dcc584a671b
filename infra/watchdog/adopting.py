"""How a machine comes to be watched: known, affordable, reachable with what is needed, and written down."""

import shlex
import shutil
from dataclasses import replace

from dermtune.validation import UserError
from infra.watchdog.arguments import Run
from infra.watchdog.journal import Address, Charge, Journal, Place
from infra.watchdog.limits import Rent, stops, strikes
from infra.watchdog.machine import Machine, Provider
from infra.watchdog.reaching import reach
from infra.watchdog.remote import OtherMachineError, RefusedError, RemoteError
from infra.watchdog.resuming import taken_up
from infra.watchdog.state import State
from infra.watchdog.view import View


class AdoptionError(UserError):
    """A machine that cannot be watched as it was asked; the message says what must hold and what came."""


def adopt(asked: Run, provider: Provider, journal: Journal, view: View, now: float) -> Charge:
    """The machine, written down: from now on it is looked after, by this process or by the next start.

    One that is written down already is gone on with, under the limits that are asked now. Raises AdoptionError;
    ProviderError where the provider does not answer; OSError where it cannot be written down.
    """
    for command in (asked.rsync, asked.ssh or "ssh"):
        if shutil.which(shlex.split(command)[0]) is None:
            raise AdoptionError(f"{shlex.split(command)[0]} must be a command of this computer, there is none")
    place, earlier = _place(asked), journal.read(asked.machine_id)
    if earlier is not None:
        again = taken_up(earlier, provider, now)
        rent = again.state.rent
        rent = replace(rent, usd_per_hour=asked.usd_per_hour or rent.usd_per_hour)
        _check_price(asked, rent)
        charge = replace(again, place=place, limits=asked.limits, state=replace(again.state, rent=rent))
        view.said(f"{asked.machine_id} is watched again, where a watchdog before has left it")
    else:
        machine = provider.get(asked.machine_id)
        if machine is None:
            raise AdoptionError(
                f"{asked.machine_id} must be a machine of this account, {asked.common.api_url} knows none"
            )
        charge = replace(_begun(asked, machine, place, now), account=provider.account)
        _check_reach(charge, journal, view)
    journal.write(charge)
    return charge


def _place(asked: Run) -> Place:
    return Place(
        remote=asked.remote,
        into=str(asked.into),
        host=asked.host,
        port=asked.port,
        ssh=asked.ssh,
        rsync=asked.rsync,
        python=asked.python,
        usd_per_hour=asked.usd_per_hour,
    )


def _begun(asked: Run, machine: Machine, place: Place, now: float) -> Charge:
    """The machine at the start of its watch; one that a limit would end at once is refused."""
    started = now if machine.started is None else min(machine.started, now)
    rent = Rent(since=started, usd_per_hour=asked.usd_per_hour or machine.usd_per_hour)
    _check_price(asked, rent)
    if now >= stops(asked.limits, rent):
        at, limit = strikes(asked.limits, rent)
        raise AdoptionError(
            f"the {limit} must be further away than --grace-minutes {asked.limits.grace / 60:g}: {machine.id} has "
            f"run for {rent.hours(now):.2f} hours, and it strikes at {(at - rent.since) / 3600:.2f}"
        )
    return Charge(
        machine_id=machine.id,
        name=machine.name,
        api_url=asked.common.api_url,
        place=place,
        limits=asked.limits,
        state=State(rent=rent, active=now),
        address=None if machine.host is None else Address(host=machine.host, port=machine.port),
    )


def _check_price(asked: Run, rent: Rent) -> None:
    if asked.limits.max_usd is not None and rent.usd_per_hour is None:
        raise AdoptionError("--max-usd needs a price, and the provider tells none: give --usd-per-hour")


def _check_reach(charge: Charge, journal: Journal, view: View) -> None:
    """What would keep results from being pulled is told at once, not at the end."""
    machine_id = charge.machine_id
    remote = reach(charge, journal.of(machine_id))
    try:
        if remote is None:
            raise RemoteError(f"{machine_id} has no address yet")
        listing = remote.look(within=3 * charge.limits.answer)
    except OtherMachineError as error:
        raise AdoptionError(f"--host and --port must lead to the machine that is watched: {error}") from None
    except RefusedError as error:
        raise AdoptionError(
            f"ssh must be let in: {error}; give the name or key by which you enter it, --host or --ssh "
            "(a cluster of SkyPilot: --host and its name)"
        ) from None
    except RemoteError as error:
        view.warned(f"{error}; it is watched, and asked again")
        return
    if not listing.has_rsync:
        raise AdoptionError(f"rsync must be on {machine_id}, there is none: apt-get install rsync there")
    if not listing.is_sweep:
        view.warned(f"{charge.place.remote} on {machine_id} is no sweep's folder yet")
