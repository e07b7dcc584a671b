"""A sweep's folder from `sweep.json` to the last leftover."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from analysis.words import count, named
from dermtune.config import UserError
from dermtune.durable import read_json
from dermtune.integrity.examination import Examined, Listed, examine
from dermtune.integrity.finding import SEVERITIES, Finding, Inspection
from dermtune.integrity.first import PICKED, FirstStage, after_picking, first_stage
from dermtune.integrity.pairing import mixed, unequal_seeds, unpaired
from dermtune.ledger import SweepFolder, TrialFolder, upkeep
from dermtune.plan import Plan
from dermtune.spared import course_in, spared

FORMAT = 1
RUNS = "the same command runs them"

Progress = Callable[[int, int], None]
"""Called with how many trials are examined, and how many there are."""


class IntegrityError(UserError):
    """A folder that is no sweep's."""


def inspect(path: Path, progress: Progress) -> Inspection:
    """What is found in the sweep's folder at `path`; nothing in it is changed.

    Raises IntegrityError where it is no sweep's folder, OSError where a file of it cannot be read.
    """
    folder = SweepFolder(path)
    if not (path / "sweep.json").exists() and not (path / "trials").is_dir():
        raise IntegrityError(f"{path} must be a sweep's folder, with sweep.json and trials/")
    findings: list[Finding] = []
    first = first_stage(folder, findings)
    earlier = first.listed if first else []
    again = PICKED if first and first.has_picked else RUNS
    listed = _judged(folder, first, findings)
    examined = [*_examined(folder, [*earlier, *listed], progress)]
    before, judged = examined[: len(earlier)], examined[len(earlier) :]
    if again == PICKED:
        before = [after_picking(one) for one in before]
    for stage in (before, judged):
        done = [one for one in stage if one.manifest is not None]
        findings += [*(finding for one in stage for finding in one.findings), *unpaired(done)]
    findings += [*unequal_seeds(listed), *mixed([one for one in examined if one.manifest is not None])]
    findings += [*_not_begun(before, again), *_not_begun(judged, RUNS, _spared(folder))]
    findings += [*_running(folder), *_unlisted(folder, [*earlier, *listed]), *_left_over(folder)]
    return Inspection(
        n_trials=len(examined),
        n_done=sum(one.state in ("done", "pruned") for one in examined),
        findings=tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
    )


def _examined(folder: SweepFolder, listed: Sequence[Listed], progress: Progress) -> Iterator[Examined]:
    for n, trial in enumerate(listed, start=1):
        yield examine(folder.trial(trial.trial_id), trial)
        progress(n, len(listed))


def _judged(folder: SweepFolder, first: FirstStage | None, findings: list[Finding]) -> Sequence[Listed]:
    """The trials that are judged; none where a first stage has yet to find their arms, which is a finding."""
    if first is None or (folder.path / "sweep.json").exists():
        return _listed(folder, findings)
    state = "has picked, and nothing is judged yet" if first.has_picked else "has not ended"
    what, do = f"is not there: the first stage {state}", "the same command goes on"
    findings.append(Finding(severity="unfinished", file="sweep.json", what=what, do=do))
    return []


def _listed(folder: SweepFolder, findings: list[Finding]) -> Sequence[Listed]:
    """The trials that `sweep.json` lists; where it cannot be read that is a finding, and those on disk count."""
    try:
        asked = read_json(folder.path / "sweep.json")
        if asked["format"] != FORMAT:
            raise ValueError(f"must be of format {FORMAT}, got {asked['format']!r}")
        return [_entry(entry["trial_id"], entry["arm"], entry["seed"]) for entry in asked["trials"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"does not say what was asked: {type(error).__name__}: {error}"
        do = "move it away; the sweep's command writes it anew"
        findings.append(Finding(severity="damaged", file="sweep.json", what=what, do=do))
    return [*_on_disk(folder)]


def _on_disk(folder: SweepFolder) -> Iterator[Listed]:
    """The trials whose manifests can be read."""
    for path in sorted((folder.path / "trials").glob("*")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            manifest = folder.trial(path.name).manifest()
            yield _entry(path.name, manifest["arm"], manifest["seed"])


def _entry(trial_id: str, arm: str, seed: int) -> Listed:
    if Path(trial_id).name != trial_id:
        raise ValueError(f"trial_id {trial_id!r} is no plain name")
    return Listed(trial_id=trial_id, arm=str(arm), seed=int(seed))


def _spared(folder: SweepFolder) -> Collection[str]:
    """Ids of the trials that no look of adaptive repeats asks for any more."""
    with suppress(OSError, ValueError, KeyError, TypeError):  # what is wrong with them is a finding of its own
        asked = read_json(folder.path / "sweep.json")
        if asked.get("repeats") == "adaptive":
            plan = Plan.from_dict(asked)
            return spared(plan, folder.done(plan.trials), course_in(folder, plan))
    return ()


def _not_begun(examined: Sequence[Examined], do: str, spared: Collection[str] = ()) -> Iterator[Finding]:
    not_begun = [one.listed for one in examined if one.state == "not begun"]
    titles = [listed.title for listed in not_begun if listed.trial_id not in spared]
    if titles:
        what = f"{count(len(titles), 'trial')} not begun: {named(titles)}"
        yield Finding(severity="unfinished", file="trials", what=what, do=do)


def _running(folder: SweepFolder) -> Iterator[Finding]:
    if folder.has_driver():
        what, do = "a driver runs this sweep now", "look again when it has ended"
        yield Finding(severity="unfinished", file="driver.lock", what=what, do=do)


def _unlisted(folder: SweepFolder, listed: Sequence[Listed]) -> Iterator[Finding]:
    names = {trial.trial_id for trial in listed}
    for path in sorted((folder.path / "trials").glob("*")):
        if path.name not in names and not path.name.startswith("."):
            trial = folder.trial(path.name)
            state = trial.damage() or _state(trial)
            what = f"a trial that sweep.json does not list: {state}"
            do = "nothing: it is used when it is asked for, and may be removed otherwise"
            yield Finding(severity="left over", file=f"trials/{path.name}", what=what, do=do)


def _state(trial: TrialFolder) -> str:
    if trial.is_done():
        return "done"
    return "not done" if trial.pruned() is None else "stopped early by a search"


def _left_over(folder: SweepFolder) -> Iterator[Finding]:
    for path in upkeep.leftovers(folder):
        what, do = "a writer was killed beside it", "nothing: the next start removes it"
        yield Finding(severity="left over", file=str(path.relative_to(folder.path)), what=what, do=do)
    for path in sorted((folder.path / "damaged").glob("*")):
        what, do = "a damaged trial that was set aside", "remove it once you know what damaged it"
        yield Finding(severity="left over", file=f"damaged/{path.name}", what=what, do=do)
