"""One sweep on disk: what was asked in `sweep.json`, the trials' folders, the report."""

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermtune.durable import read_json, write_json
from dermtune.ledger.lock import LedgerError, held, is_held
from dermtune.ledger.trial import TrialFolder
from dermtune.plan import Plan, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class _EarlierPlan:
    """What the `sweep.json` that is there says; nothing where there is none."""

    trials: Sequence[dict[str, Any]] = ()
    """Each with its trial_id, arm and seed."""
    looks: Sequence[int] = ()
    """Numbers of seeds at which it declares that results are looked at."""
    looks_taken: Sequence[int] = ()
    """Numbers of seeds of the reports before it."""


@dataclass(frozen=True, slots=True)
class SweepFolder:
    """One sweep's folder: what was asked in `sweep.json`, the trials, the report."""

    path: Path

    @property
    def report(self) -> Path:
        """Folder of the report's files."""
        return self.path / "report"

    @property
    def first(self) -> Path:
        """What a first stage was asked, JSON; there from its start."""
        return self.path / "first.json"

    @property
    def selection(self) -> Path:
        """What a first stage tried and picked, JSON; there once it has ended."""
        return self.path / "selection.json"

    @property
    def search(self) -> Path:
        """Folder of what a search must know to go on."""
        return self.path / "search"

    @property
    def quarantine(self) -> Path:
        """CSV of the images that cannot be read and are left out; there where there are any."""
        return self.path / "quarantine.csv"

    def trial(self, trial_id: str) -> TrialFolder:
        """A trial's folder, whether it exists or not."""
        return TrialFolder(self.path / "trials" / trial_id)

    def done(self, trials: Iterable[Trial]) -> dict[str, dict[str, Any]]:
        """Manifests of those trials that are done, by trial_id."""
        folders = {t.trial_id: self.trial(t.trial_id) for t in trials}
        return {trial_id: folder.manifest() for trial_id, folder in folders.items() if folder.is_done()}

    def write_plan(self, plan: Plan, question: str) -> int:
        """Number of done trials that the plan leaves unused, after `sweep.json` is written for it.

        A done trial with a further seed of the same configuration stays in it, so asking for fewer seeds hides
        nothing. A report on fewer seeds stays known as well, as a look that was taken. Where the configuration is
        another one, the new plan takes the old one's place.
        """
        asked = {**plan.to_dict(), "question": question}
        before = self._earlier_plan()
        earlier = [t for t in before.trials if self.trial(t["trial_id"]).is_done()]
        shared = _shared(earlier, asked)
        further = _further_seeds(earlier, shared, asked)
        taken = self._looks_taken(before) if shared else set()
        asked["trials"] += further
        asked["seeds"] = list(dict.fromkeys([*asked["seeds"], *(t["seed"] for t in further)]))
        asked["looks_taken"] = sorted(n for n in taken if n < len(asked["seeds"]))
        write_json(self.path / "sweep.json", asked)
        listed = {t["trial_id"] for t in asked["trials"]}
        return sum(t["trial_id"] not in listed for t in earlier)

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """The folder for this process alone. Raises LedgerError where another driver has it."""
        return held(self.path)

    def has_driver(self) -> bool:
        """Whether a driver runs this sweep now."""
        return is_held(self.path)

    def _earlier_plan(self) -> _EarlierPlan:
        path = self.path / "sweep.json"
        try:
            asked = read_json(path)
            return _EarlierPlan(
                trials=[_listed(t) for t in asked["trials"]],
                looks=[int(n) for n in asked.get("looks", ())],
                looks_taken=[int(n) for n in asked.get("looks_taken", ())],
            )
        except FileNotFoundError:
            return _EarlierPlan()
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(f"{path} must hold what was asked: {error}; move it away to start anew") from None

    def _looks_taken(self, before: _EarlierPlan) -> set[int]:
        """Numbers of seeds at which results were judged; a report before the first declared look judged nothing."""
        reported = self._seeds_reported()
        return {*before.looks_taken, *([reported] if reported >= min(before.looks, default=1) else ())}

    def _seeds_reported(self) -> int:
        """The most seeds of an arm in the report that is there; 0 where there is none."""
        path = self.report / "report.json"
        try:
            return max(int(arm["n_seeds"]) for arm in read_json(path)["arms"])
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(
                f"{path} must be the last report, which says how many seeds it judged: {error}; "
                "move it away if it was never read"
            ) from None


def _listed(trial: Mapping[str, Any]) -> dict[str, Any]:
    """What `sweep.json` says of a trial. Raises ValueError for a trial_id that is no folder's plain name."""
    trial_id = trial["trial_id"]
    if not re.fullmatch(r"[\w-]+", trial_id):
        raise ValueError(f"a trial_id must be letters, digits, _ and -, got {trial_id!r}")
    return {key: trial[key] for key in ("trial_id", "arm", "seed")}


def _shared(earlier: list[dict[str, Any]], asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The earlier trials that are asked for again; none if the plans disagree on any: the question is another."""
    ids = {(t["arm"], t["seed"]): t["trial_id"] for t in asked["trials"]}
    shared = [t for t in earlier if (t["arm"], t["seed"]) in ids]
    return shared if all(t["trial_id"] == ids[t["arm"], t["seed"]] for t in shared) else []


def _further_seeds(
    earlier: list[dict[str, Any]], shared: list[dict[str, Any]], asked: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The earlier trials with seeds beyond those asked, of arms that are asked for again."""
    arms = {t["arm"] for t in shared}
    return [t for t in earlier if t["arm"] in arms and t["seed"] not in asked["seeds"]]
