"""The driver's end: what trials sent comes into the sweep's folder, which alone says what is done."""

import contextlib
import json
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from dermtune.checkpoints import newest_sealed, step_of
from dermtune.depot.carrying import attempts_at, attempts_in
from dermtune.depot.parcels import Damaged, Depot, Parcel
from dermtune.depot.store import DepotError, Store
from dermtune.durable import read_json, write_json, write_text
from dermtune.ledger import LedgerError, SweepFolder, TrialFolder, merged, write_attempts


def depot_of(folder: SweepFolder, uri: str, say: Callable[[str], None]) -> Depot:
    """The sweep's own place in the storage, the same at every start: `storage.json` in its folder keeps the name.

    A folder that was moved keeps it. A copy gets one of its own as long as what it was made of is where it was;
    `say` is told. Raises DepotError where nothing can be kept there, LedgerError where that file is damaged.
    """
    path, here = folder.path / "storage.json", str(folder.path.resolve())
    new = f"{folder.path.name}-{uuid.uuid4().hex[:12]}"
    try:
        noted = read_json(path) if path.exists() else {"key": new}
        key, made_at = str(noted["key"]), str(noted.get("folder", here))
    except (ValueError, KeyError) as error:
        raise LedgerError(f"{path} must name the sweep's place in the storage: {error}; move it away") from None
    if _has(SweepFolder(Path(made_at)), key, other_than=path):
        say(f"{folder.path} is a copy of {made_at}, from now on with a place of its own in the storage")
        key = new
    if noted.get("folder") != here:
        write_json(path, {"format": 1, "key": key, "folder": here})
    depot = Depot(store=Store(uri=uri), key=key)
    depot.check()
    return depot


def collect(depot: Depot, trial: TrialFolder) -> None:
    """Bring the trial's result into its folder, the manifest last, and remove all that it sent.

    Raises Damaged where there is none that is whole, what there is being removed; DepotError where the storage is
    away, LedgerError where the folder is damaged: the result stays where it is.
    """
    trial_id, why = trial.path.name, "there is none"
    for result in (parcel for parcel in depot.parcels(trial_id) if parcel.is_result):
        try:
            _adopt(depot, result, trial)
        except Damaged as damage:
            depot.remove([result])
            why = f"what is there is not whole: {damage}"
        else:
            with contextlib.suppress(DepotError):  # the result is here, the next start removes it there
                depot.forget(trial_id)
            return
    raise Damaged(f"{depot.store} must have the result of trial {trial_id}, {why}")


def settle(depot: Depot, folder: SweepFolder, say: Callable[[str], None]) -> None:
    """Take down what earlier starts left in the storage, and send up what only the sweep's folder knows.

    A result comes whole, of other trials what they took. `say` is told of a result that was damaged. Raises
    DepotError where the storage is away: what it has is not to be trained again.
    """
    in_storage = depot.all_parcels()
    for trial_id in sorted(depot.senders()):
        trial, parcels = folder.trial(trial_id), in_storage.get(trial_id, [])
        if trial.is_done():
            depot.forget(trial_id)
        elif parcels and parcels[0].is_result:  # also of one that a search has pruned and another question trained
            try:
                collect(depot, trial)
            except Damaged as damage:
                say(f"{damage}; it is trained again")
        elif trial.pruned() is not None:
            depot.forget(trial_id)
        else:
            take_state(depot, trial, parcels)
    for path in sorted(folder.path.glob("trials/*/attempts.json")):
        trial = TrialFolder(path.parent)
        if not trial.is_done() and trial.pruned() is None:
            _offer(depot, trial, in_storage.get(path.parent.name, []))


def take_state(depot: Depot, trial: TrialFolder, parcels: Sequence[Parcel]) -> None:
    """Bring down what a trial that is not done took, and its history where that is longer than the one here."""
    known = merged(attempts_at(trial), *(attempts_in(depot, parcel) for parcel in parcels))
    if known:
        write_attempts(trial.attempts_file, known)
    for parcel in parcels:
        try:
            history = depot.content(parcel, "history.csv").decode()
        except Damaged:
            continue  # the trial says so when it goes on
        if history.count("\n") > len(trial.history_rows()) + 1:  # a line for the columns
            write_text(trial.history, history)
        return


def _has(folder: SweepFolder, key: str, *, other_than: Path) -> bool:
    """Whether a folder, by whatever path it is seen, has this place in the storage, and is not that of the file."""
    path = folder.path / "storage.json"
    try:
        return not path.samefile(other_than) and read_json(path).get("key") == key
    except (OSError, ValueError):
        return False


def _adopt(depot: Depot, result: Parcel, trial: TrialFolder) -> None:
    """Seal the trial with what the parcel holds; what it took counts in any case. Raises Damaged."""
    if known := merged(attempts_at(trial), attempts_in(depot, result)):
        write_attempts(trial.attempts_file, known)
    names = [name for name in depot.listed(result) if name not in ("manifest.json", "attempts.json")]
    depot.fetch(result, names, trial)
    content = depot.content(result, "manifest.json")
    try:
        manifest = json.loads(content)
        if (named := manifest.get("trial_id", trial.path.name)) != trial.path.name:
            raise Damaged(f"{result.name} is that of trial {named}")
        trial.adopt(manifest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{result.name}/manifest.json cannot be used: {error}") from None


def _offer(depot: Depot, trial: TrialFolder, parcels: Sequence[Parcel]) -> None:
    """Send what the folder has of the trial, from starts without a storage, unless it is there."""
    known = attempts_at(trial)
    sent = merged(*(attempts_in(depot, parcel) for parcel in parcels))
    if merged(known, sent) != sent:
        here = newest_sealed(trial.checkpoint)
        if here and all(step_of(here) > parcel.step for parcel in parcels):
            depot.send_epoch(trial)
        else:
            depot.send_account(trial)
