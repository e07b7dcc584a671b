"""A first stage in words: what it is, what it tried, what it picked."""

import os
from collections import Counter
from collections.abc import Iterator

from rich.console import Console

from analysis.words import count, higher_is_better, metric_title, unit_of
from dermtune.firstplan import First
from dermtune.ledger import SweepFolder
from dermtune.plan import BASELINE, Search, arm_name
from dermtune.selection import Picked, Selection


def print_design(first: First, console: Console) -> None:
    """Print what the first stage is, in a line."""
    _say(console, f"{first.name}: {_design(first)}")


def _design(first: First) -> str:
    stage, seeds = first.sweep.first, ", ".join(map(str, first.plan.seeds))
    if isinstance(stage, Search):
        of = f"{count(stage.n_points, 'point')} of {', '.join(stage.space)}, seed {seeds}"
    else:
        of = f"{count(len(first.plan.arms), 'arm')} on the frozen backbone, seeds {seeds}"
    confirm = stage.confirm if stage else 0
    return f"{of}; the best {confirm} on val are confirmed with fresh seeds and judged on test"


def print_anew(folder: SweepFolder, first: First, console: Console) -> None:
    """Say that an earlier selection there is not this sweep's."""
    if folder.selection.exists():
        what = "was picked for another question or other numbers"
        _say(console, f"{os.path.relpath(folder.selection)} {what}: the {first.name} goes on, and picks anew.")


def print_failures(folder: SweepFolder, selection: Selection, console: Console) -> None:
    """Say what was tried in vain, and why."""
    for one in selection.tried:
        if one.state == "failed":
            reasons = filter(None, (folder.trial(trial_id).failure() for trial_id in one.trial_ids))
            why = next(reasons, "it has no result")
            _say(console, f"✗ {one.name} failed and is passed over: {why}")


def print_none(selection: Selection, console: Console) -> None:
    """Say that there is nothing to confirm, and what can be done."""
    states = {one.state for one in selection.tried}
    if "failed" in states:
        how = "mend the cause; the same command tries what failed again"
    elif "pruned" in states:
        how = "raise `n_points`, and `grace_epochs` with it: what is pruned stays so"
    else:
        how = "widen the `space`: every point has the baseline's levers"
    _say(console, f"Nothing can be confirmed: of {_counted(selection)}, none is done beside the baseline; {how}.")


def print_selection(selection: Selection, first: First, console: Console) -> None:
    """Say how many were tried and which were picked, with their scores on val; a line each."""
    _say(console, f"{first.name}: {_counted(selection)}")
    for picked in selection.picks:
        _say(console, f"picked {_said(picked, selection, first)}")
    for line in _doubts(selection, first):
        _say(console, line)


def print_stopped(folder: SweepFolder, console: Console) -> None:
    """Say where the selection is, and how to go on."""
    where = os.path.relpath(folder.selection)
    _say(console, f"Stopped after the selection: {where}; the same command without --stop-after-selection goes on.")


def _counted(selection: Selection) -> str:
    """`40 points: 12 done, 26 pruned, 2 failed`."""
    states = Counter(one.state for one in selection.tried)
    what = "point" if selection.stage == "search" else "arm"
    each = ", ".join(f"{n} {state}" for state in ("done", "pruned", "failed") if (n := states[state]))
    return f"{count(len(selection.tried), what)}: {each or 'nothing'}"


def _said(picked: Picked, selection: Selection, first: First) -> str:
    baseline = first.sweep.baseline
    tried = {one.number: one for one in selection.tried}
    of = f" ({tried[picked.number].name})" if tried[picked.number].name != picked.arm else ""
    levers = arm_name({**baseline, **picked.levers}, baseline)
    what = "" if levers == picked.arm else f": {levers}"
    score = tried[picked.number].scores[selection.metric]
    return f"{picked.arm}{of}{what}, {metric_title(selection.metric)} {_score(selection, score)} on val"


def _doubts(selection: Selection, first: First) -> Iterator[str]:
    stage = first.sweep.first
    if stage is not None and len(selection.picks) < stage.confirm:
        yield f"Only {len(selection.picks)} of {stage.confirm}: nothing else is done and unlike the baseline."
    baseline = next((one for one in selection.tried if one.number == 0 and one.state == "done"), None)
    if baseline is None:
        return
    tried = {one.number: one.scores[selection.metric] for one in selection.tried if one.state == "done"}
    theirs, base = tried[selection.picks[0].number], baseline.scores[selection.metric]
    if (theirs <= base) if higher_is_better(selection.metric) else (theirs >= base):
        score = _score(selection, base)
        yield f"None is better on val than the {BASELINE} ({score}); the best are confirmed all the same."


def _score(selection: Selection, score: float) -> str:
    return unit_of(selection.metric).score(score)


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, markup=False, highlight=False)
