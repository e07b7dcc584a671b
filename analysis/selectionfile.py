"""The file `selection.json` in a sweep's folder: what its first stage tried and picked."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from analysis.findings.selection import FirstStage, Picked, Stage, State, Tried
from analysis.study import SourceError, check_names

NAME = "selection.json"
PLANNED = "first.json"
"""What a first stage is asked, before it has picked."""
FORMAT = 1


def read_selection(folder: Path) -> FirstStage | None:
    """What the first stage of the sweep in this folder did; None where it had none. Raises SourceError."""
    path = folder / NAME
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} must be a JSON file: {error}") from None
    try:
        first = _first_stage(plain)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise SourceError(
            f"{path}: must be a selection.json of format {FORMAT}, this does not fit: {what}; "
            "--quick judges the arms without it"
        ) from None
    check_names(str(path), "an arm", [*(one.name for one in first.tried), *(pick.arm for pick in first.picks)])
    check_names(str(path), "a lever", {lever for one in first.tried for lever in one.levers})
    return first


def why_not_judged(folder: Path) -> str:
    """Why there are no arms to judge in the folder of a sweep that has its first stage alone; empty elsewhere."""
    if (folder / NAME).is_file():
        state = "has picked the arms, and none of them is trained yet"
    elif (folder / PLANNED).is_file():
        state = "has not ended, and no arm is picked yet"
    else:
        return ""
    return f"{folder}: its first stage {state}, so there is nothing to judge; the sweep's own command goes on"


def is_judged_by(first: FirstStage, arms: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether each pick is the arm of its name, the same levers at the same values."""
    tried = {one.number: one for one in first.tried}
    baseline = first.tried[0].levers
    return all(arms.get(pick.arm) == {**baseline, **tried[pick.number].levers} for pick in first.picks)


def _first_stage(plain: Mapping[str, Any]) -> FirstStage:
    _require(plain["format"] == FORMAT, f"format {plain['format']!r}")
    _require(plain["split"] == "val", f"picks are made on val, got split {plain['split']!r}")
    _require(plain["stage"] in get_args(Stage), f"stage {plain['stage']!r}")
    tried = tuple(map(_tried, plain["tried"]))
    numbers = [one.number for one in tried]
    _require(numbers[:1] == [0], "the baseline, number 0, must be the first of those tried")
    _require(len({*numbers}) == len(numbers), "those tried must have numbers of their own")
    first = FirstStage(
        stage=plain["stage"],
        metric=str(plain["metric"]),
        objectives=tuple(map(str, plain["objectives"])),
        seeds=tuple(map(int, plain["seeds"])),
        epochs=int(plain["epochs"]),
        tried=tried,
        picks=tuple(Picked(arm=str(pick["arm"]), number=int(pick["number"])) for pick in plain["picks"]),
        importances={str(lever): _number(share) for lever, share in plain["importances"].items()},
        by_factors=_by_factors((plain.get("asked") or {}).get("space") or {}),
    )
    _require(first.objectives[:1] == (first.metric,), f"the first objective must be {first.metric}")
    _check_picks(first)
    return first


def _by_factors(space: Mapping[str, Any]) -> tuple[str, ...]:
    """Levers whose range, as Optuna writes it, is searched by the logarithm."""
    return tuple(str(lever) for lever, values in space.items() if values.get("attributes", {}).get("log"))


def _tried(plain: Mapping[str, Any]) -> Tried:
    number, state = int(plain["number"]), plain["state"]
    _require(state in get_args(State), f"state {state!r} of number {number}")
    return Tried(
        number=number,
        name=str(plain["name"]),
        levers=dict(plain["levers"]),
        state=state,
        epochs=int(plain["epochs"]),
        scores={str(name): _number(score) for name, score in plain["scores"].items()},
    )


def _check_picks(first: FirstStage) -> None:
    """There are some, all trained to their end, and what did not fail has its scores."""
    _require(bool(first.picks), "at least one must be picked")
    states = {one.number: one.state for one in first.tried}
    for pick in first.picks:
        _require(states.get(pick.number) == "done", f"{pick.arm} must be one of those that are done")
    for one in first.tried:
        has_scores = one.state == "failed" or {*first.objectives} <= one.scores.keys()
        _require(has_scores, f"{one.name} must have a score for {' and '.join(first.objectives)}")


def _number(value: object) -> float:
    _require(isinstance(value, int | float) and math.isfinite(value), f"a finite number is wanted, got {value!r}")
    return float(value)  # type: ignore[arg-type] # said above


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
