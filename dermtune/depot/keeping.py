"""The driver's end: what trials sent comes into the sweep's folder, which alone says what is done."""

import json
import uuid
from collections.abc import Callable, Sequence

from dermtune.depot.carrying import attempts_at, attempts_in
from dermtune.depot.parcels import Depot, Parcel
from dermtune.depot.store import DepotError, Store
from dermtune.durable import read_json, write_json
from dermtune.ledger import LedgerError, SweepFolder, TrialFolder, merged, write_attempts


def depot_of(folder: SweepFolder, uri: str) -> Depot:
    """The sweep's own place in the storage, the same at every start: `storage.json` in its folder keeps the name.

    Raises DepotError where nothing can be kept there, LedgerError where that file is damaged.
    """
    path = folder.path / "storage.json"
    try:
        key = str(read_json(path)["key"])
    except FileNotFoundError:
        key = f"{folder.path.name}-{uuid.uuid4().hex[:12]}"
        write_json(path, {"format": 1, "key": key})
    except (ValueError, KeyError) as error:
        raise LedgerError(f"{path} must name the sweep's place in the storage: {error}; move it away") from None
    depot = Depot(store=Store(uri=uri), key=key)
    depot.check()
    return depot


def collect(depot: Depot, trial: TrialFolder) -> None:
    """Bring the trial's result into its folder, the manifest last, and remove all that it sent.

    Raises DepotError where there is none that is whole; one that is damaged is removed.
    """
    trial_id = trial.path.name
    damage = ""
    results = [parcel for parcel in depot.parcels(trial_id) if parcel.is_result]
    for result in results:
        try:
            _adopt(depot, result, trial)
        except (ValueError, KeyError, TypeError) as error:
            depot.remove([result])
            damage = str(error)
        else:
            depot.forget(trial_id)
            return
    why = f"what is there is not whole: {damage}" if results else "there is none"
    raise DepotError(f"{depot.store} must have the result of trial {trial_id}, {why}")


def settle(depot: Depot, folder: SweepFolder, say: Callable[[str], None]) -> None:
    """Take down what earlier starts left in the storage, and send up what only the sweep's folder knows.

    A result comes whole, of other trials what they took. `say` is told of a result that was damaged.
    """
    in_storage = depot.all_parcels()
    for trial_id, parcels in in_storage.items():
        trial = folder.trial(trial_id)
        if trial.is_done() or trial.pruned() is not None:
            depot.forget(trial_id)
        elif parcels[0].is_result:
            try:
                collect(depot, trial)
            except DepotError as error:
                say(f"{error}; it is trained again")
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
    sent = TrialFolder(trial.path / ".sent")
    for parcel in parcels[:1]:
        if "history.csv" in depot.listed(parcel):
            depot.fetch(parcel, ["history.csv"], sent)
            if len(rows := sent.history_rows()) > len(trial.history_rows()):
                trial.write_history(rows)
            sent.history.unlink()
            sent.path.rmdir()


def _adopt(depot: Depot, result: Parcel, trial: TrialFolder) -> None:
    """Seal the trial with what the parcel holds. Raises ValueError, KeyError, TypeError where that is damaged."""
    known = merged(attempts_at(trial), attempts_in(depot, result))
    names = [name for name in depot.listed(result) if name not in ("manifest.json", "attempts.json")]
    depot.fetch(result, names, trial)
    manifest = json.loads(depot.content(result, "manifest.json"))
    if (named := manifest.get("trial_id", trial.path.name)) != trial.path.name:
        raise ValueError(f"{result.name} is that of trial {named}")
    if known:
        write_attempts(trial.attempts_file, known)
    trial.adopt(manifest)


def _offer(depot: Depot, trial: TrialFolder, parcels: Sequence[Parcel]) -> None:
    """Send what the folder has of the trial, from starts without a storage, unless it is there."""
    known = attempts_at(trial)
    sent = merged(*(attempts_in(depot, parcel) for parcel in parcels))
    if merged(known, sent) != sent:
        depot.send_epoch(trial)
