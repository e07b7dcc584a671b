"""The command `orphans`: what nobody watches is listed, and ended where that is asked."""

from dataclasses import replace
from pathlib import Path

from dermtune.validation import UserError
from infra.watchdog.arguments import Orphans
from infra.watchdog.decision import to_end
from infra.watchdog.guarding import Post, guard
from infra.watchdog.journal import Charge, Place
from infra.watchdog.limits import Limits, Rent
from infra.watchdog.orphans import Orphan, orphans
from infra.watchdog.report import CONSOLE_URL
from infra.watchdog.resuming import taken_up
from infra.watchdog.state import State
from infra.watchdog.view import View


def clear(post: Post, asked: Orphans) -> int:
    """The exit code. Raises UserError where one is to be abandoned that is no orphan."""
    found = orphans(post.provider, post.journal, asked.common.prefix)
    if other := sorted({*asked.abandon} - {orphan.machine_id for orphan in found}):
        raise UserError(f"--abandon must name a machine that nobody watches, {other[0]} is none")
    for orphan in found:
        post.console.print(str(orphan), soft_wrap=True, markup=False, highlight=False)
    if not found:
        post.console.print("No machine of ours runs unwatched.")
    ended = [orphan for orphan in found if asked.terminate or orphan.machine_id in asked.abandon]
    codes = [_code(post, orphan, abandoned=orphan.machine_id in asked.abandon) for orphan in ended]
    left = [orphan for orphan in found if orphan not in ended]
    return max([*codes, *([1] if left else [])], default=0)


def _code(post: Post, orphan: Orphan, *, abandoned: bool) -> int:
    """The exit code after one was ended, or not; whatever goes wrong with it, the others have their turn."""
    try:
        return _end(post, orphan, abandoned=abandoned)
    except Exception as error:  # noqa: BLE001
        said = f"! {orphan.machine_id} STILL RUNS AND IS BILLED: {error}; end it by hand: {CONSOLE_URL}"
        post.console.print(said, style="bold red", soft_wrap=True, markup=False, highlight=False)
        return 3


def _end(post: Post, orphan: Orphan, *, abandoned: bool) -> int:
    if orphan.charge is None and not abandoned:
        raise UserError("nobody knows where its results are, pull them, then give --abandon " + orphan.machine_id)
    with post.journal.alone(orphan.machine_id) as folder:
        now = post.clock()
        known = None if orphan.damage else post.journal.read(orphan.machine_id)  # another may have come before
        if known is None and orphan.charge is not None:
            post.console.print(f"{orphan.machine_id} was ended meanwhile.", markup=False, highlight=False)
            return 0
        charge = taken_up(known, post.provider, now) if known else _stranger(post, orphan, folder, now)
        limits = replace(charge.limits, persists=False)
        state = to_end(charge.state, now, "abandoned" if abandoned else "asked")
        charge = replace(charge, limits=limits, state=state)
        post.journal.write(charge)
        return guard(post, charge, View(post.console)).exit_code


def _stranger(post: Post, orphan: Orphan, folder: Path, now: float) -> Charge:
    """What is kept of a machine that is ended without its results: nothing of it is reached but its provider."""
    machine, answer = orphan.machine, post.common.answer
    started = machine.started if machine and machine.started else now
    place = Place(
        remote="",
        into=str(folder),
        host=None,
        port=None,
        ssh=None,
        rsync="rsync",
        python="python3",
        usd_per_hour=None,
    )
    limits = Limits(
        deadline=0.0,
        max_usd=None,
        idle=0.0,
        grace=0.0,
        poll=answer / 4,
        pull=0.0,
        answer=answer,
        give_up=45 * answer,
    )
    rent = Rent(since=min(started, now), usd_per_hour=machine.usd_per_hour if machine else None)
    return Charge(
        machine_id=orphan.machine_id,
        name=orphan.name,
        api_url=post.common.api_url,
        place=place,
        limits=limits,
        state=State(rent=rent, active=now),
        account=post.provider.account,
    )
