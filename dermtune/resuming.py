"""What a start says of what it finds: damaged trials, done ones that other code trained, a disk that fills up."""

import os
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from dermtune.firstplan import First
from dermtune.ledger import SweepFolder, upkeep
from dermtune.origin import differences, origin
from dermtune.plan import Plan
from dermtune.room import room
from dermtune.spared import spared_in


def set_aside_damaged(folder: SweepFolder, plan: Plan, console: Console, *, first: First | None = None) -> None:
    """Move the folder of every damaged trial out of the way, so that it is run again; a line each.

    Those of a first stage that has picked are moved as well, and not run again.
    """
    for trial_id, why in upkeep.damaged(folder).items():
        place = upkeep.set_aside(folder, trial_id)
        _say(console, f"{_named(trial_id, plan, first)} is damaged: {why}; set aside in {os.path.relpath(place)}")


def print_damaged(folder: SweepFolder, plan: Plan, console: Console, *, first: First | None = None) -> None:
    """Say which trials a start would set aside, a line each."""
    for trial_id, why in upkeep.damaged(folder).items():
        _say(console, f"{_named(trial_id, plan, first)} is damaged: {why}; a start sets it aside")


def print_doubts(folder: SweepFolder, done: Mapping[str, Mapping[str, Any]], plan: Plan, console: Console) -> None:
    """Say where other code trained the done trials (manifests by trial_id), and if the rest may fill the disk.

    Nothing where nothing is missing: what a look of adaptive repeats has spared is not.
    """
    n_missing = len(plan.trials) - len(done) - len(spared_in(folder, plan, done))
    if not n_missing:
        return
    for difference in differences(done.values(), origin()):
        _say(console, f"The done trials were trained {difference}: compare them with the new ones with care.")
    there = room(folder, done, n_missing)
    if there.is_short:
        _say(console, f"The disk of {os.path.relpath(folder.path)} may fill up: {there}.")


def _named(trial_id: str, plan: Plan, first: First | None) -> str:
    """The trial as a person names it, and whether it is run again."""
    titles = {}
    if first is not None:
        again = "which runs again" if first.selection is None else f"of the {first.name}, whose picks stay"
        titles = {t.trial_id: f"{t.title} ({t.trial_id}), {again}," for t in first.plan.trials}
    titles |= {t.trial_id: f"{t.title} ({t.trial_id}), which runs again," for t in plan.trials}
    return titles.get(trial_id, f"{trial_id}, which is not asked for now,")


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, markup=False, highlight=False)
