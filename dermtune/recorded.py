"""What was asked, read back from a sweep's folder: the same plan, without the sweep file and the recipe."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from dermtune.config import ConfigError, UserError, canonical_json
from dermtune.durable import read_json
from dermtune.firstfile import read_asked
from dermtune.firstplan import points_of, with_points
from dermtune.ledger import LedgerError, SweepFolder
from dermtune.plan import Plan, PlanError, Search, Trial
from dermtune.points import Points
from dermtune.selection import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A sweep as its folder tells it."""

    plan: Plan | None
    """What is judged; None where a first stage has yet to find the arms."""
    question: str
    """The sweep file's first line; empty in a folder from before it was kept."""
    first: Plan | None = None
    """The first stage, as far as it is: of a search the points proposed; None where there is none."""


def picked(folder: SweepFolder) -> Selection | None:
    """What the first stage has picked; None as long as it has not, for what another question picked is none of it.

    Raises LedgerError or SelectionError.
    """
    there = read_asked(folder)
    return None if there is None else _picked(folder, there["asked"])


def read_recorded(folder: SweepFolder) -> Recorded:
    """The plans whose trials the folder has, each trial with the id that it has there. Raises LedgerError."""
    there, first = read_asked(folder), read_first(folder)
    if there is None:
        return _read_judged(folder)
    is_judged = (folder.path / "sweep.json").exists() and picked(folder) is not None
    judged = _read_judged(folder).plan if is_judged else None
    return Recorded(plan=judged, question=str(there["question"]), first=first)


def read_first(folder: SweepFolder) -> Plan | None:
    """The first stage as far as it is: of a search the points proposed; None where there is none.

    Raises LedgerError, SelectionError, or JournalError where a search's journal cannot be read.
    """
    there = read_asked(folder)
    try:
        return None if there is None else _first(folder, there)
    except (PlanError, ConfigError) as error:
        raise LedgerError(f"{folder.first}: {error}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise LedgerError(f"{folder.first} must hold a first stage, this does not fit: {error}") from None


def _first(folder: SweepFolder, there: Mapping[str, Any]) -> Plan:
    asked, of_first = there["asked"], replace(Plan.from_dict(there["plan"]), stage=there["stage"])
    if of_first.stage == "screen":
        return of_first
    selection = _picked(folder, asked)
    points = points_of(of_first, selection.tried) if selection else _proposed(folder, of_first, asked)
    return with_points(of_first, points)


def _picked(folder: SweepFolder, asked: Mapping[str, Any]) -> Selection | None:
    selection = Selection.read(folder.selection)
    return selection if selection is not None and selection.asked == asked else None


def _proposed(folder: SweepFolder, of_first: Plan, asked: Mapping[str, Any]) -> tuple[Trial, ...]:
    """The trials of a search that has not ended, from Optuna's storage."""
    if not folder.search.exists():
        return ()
    from optuna.distributions import json_to_distribution

    from dermtune import journal

    names = ("n_points", "confirm", "with_guards", "grace_epochs", "reduction")
    space = {lever: json_to_distribution(canonical_json(values)) for lever, values in asked["space"].items()}
    search = Search(space=space, seeds=of_first.seeds, **{name: asked[name] for name in names})
    seeds = (max(of_first.seeds) + 1,)  # the second stage's are not told yet, and no point has them
    sweep = replace(of_first.sweep, first=search, arms={}, seeds=seeds)
    fingerprints = of_first.trials[0].fingerprints
    points = Points(sweep=sweep, config=of_first.config, fingerprints=fingerprints)
    return journal.trials(points, folder)


def _read_judged(folder: SweepFolder) -> Recorded:
    path = folder.path / "sweep.json"
    try:
        asked = read_json(path)
        plan = Plan.from_dict({**_of_manifest(folder, asked), **asked})
    except FileNotFoundError:
        raise LedgerError(f"{folder.path} must be a sweep's folder, with a sweep.json; there is none") from None
    except UserError as error:
        raise LedgerError(f"{path}: {error}") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LedgerError(f"{path} must hold what was asked, this does not fit: {error}") from None
    return Recorded(plan=plan, question=str(asked.get("question", "")))


def _of_manifest(folder: SweepFolder, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a `sweep.json` from before it held the config lacks, as a done trial tells it."""
    if "config" in asked:
        return {}
    for trial in asked["trials"]:
        with suppress(OSError, ValueError, KeyError):
            manifest = folder.trial(trial["trial_id"]).manifest()
            return {
                "config": manifest["config"],
                "fingerprints": manifest["fingerprints"],
                "grid": _grid([arm["levers"] for arm in asked["arms"]]),
            }
    raise LedgerError("there must be a `config`, or a done trial that has it; the sweep's own command writes it")


def _grid(arms: list[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Each lever's values over all arms, in their order."""
    return {lever: list(dict.fromkeys(arm[lever] for arm in arms)) for lever in arms[0]}
