"""What a trial sends to a storage comes home whole or not at all, whatever is cut off, damaged or away."""

import contextlib
import json
import os
from pathlib import Path

import pytest

from dermtune.checkpoints import newest_whole, seal
from dermtune.depot import Carrier, Depot, DepotError, Store, collect, depot_of, settle
from dermtune.depot.parcels import LIST
from dermtune.ledger import LedgerError, SweepFolder

TRIAL = "0123456789abcdef"
SCORES = {"test": {"balanced_accuracy": 0.5}, "val": {"balanced_accuracy": 0.4}}


@pytest.fixture
def depot(tmp_path):
    return Depot(store=Store(uri=f"file://{tmp_path}/storage"), key="sweep-1", patience=0.0, last_patience=0.0)


@pytest.fixture
def ledger(tmp_path):
    return SweepFolder(tmp_path / "ledger")


def on_node(tmp_path, name):
    """The trial's folder on a node of that name."""
    folder = SweepFolder(tmp_path / name).trial(TRIAL)
    folder.path.mkdir(parents=True, exist_ok=True)
    return folder


def trained(folder, *steps):
    """Checkpoints after these steps, a row of the history each."""
    for step in steps:
        checkpoint = folder.checkpoint / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "model.safetensors").write_bytes(b"weights" * step)
        seal(checkpoint)
    folder.write_history([{"epoch": epoch, "seconds": 36.0} for epoch, _ in enumerate(steps, start=1)])
    return folder


def finished(folder):
    for split in ("val", "test"):
        folder.predictions(split).write_bytes(split.encode())
    folder.finish({"trial_id": TRIAL, "scores": SCORES})
    return folder


def files_of(depot):
    """Every file in the storage."""
    return [path for path in Path(depot.store.uri.removeprefix("file://")).rglob("*") if path.is_file()]


def test_a_trial_goes_on_on_another_node_from_the_epoch_that_it_sent_last(tmp_path, depot):
    notices = []
    Carrier(depot, trained(on_node(tmp_path, "a"), 3, 6)).epoch(notices.append)
    elsewhere = on_node(tmp_path, "b")
    Carrier(depot, elsewhere).bring(notices.append)
    assert newest_whole(elsewhere.checkpoint, notices.append).name == "checkpoint-6"
    assert (elsewhere.epochs_kept(), notices) == (2, [])


def test_what_a_node_has_itself_is_not_replaced_by_an_older_epoch(tmp_path, depot):
    here = trained(on_node(tmp_path, "a"), 3)
    Carrier(depot, here).epoch(pytest.fail)
    trained(here, 6)
    Carrier(depot, here).bring(pytest.fail)
    assert newest_whole(here.checkpoint, pytest.fail).name == "checkpoint-6"


def test_an_epoch_that_was_cut_off_before_its_list_does_not_count(tmp_path, depot):
    here = on_node(tmp_path, "a")
    for step in (3, 6):
        Carrier(depot, trained(here, step)).epoch(pytest.fail)
    for path in files_of(depot):
        if path.name == LIST and path.parent.name.startswith("6-"):
            path.unlink()
    elsewhere = on_node(tmp_path, "b")
    Carrier(depot, elsewhere).bring(pytest.fail)
    assert newest_whole(elsewhere.checkpoint, pytest.fail).name == "checkpoint-3"


def test_of_a_damaged_epoch_the_one_before_is_used_and_that_is_said(tmp_path, depot):
    here, notices = on_node(tmp_path, "a"), []
    for step in (3, 6):
        Carrier(depot, trained(here, step)).epoch(pytest.fail)
    [weights] = [p for p in files_of(depot) if p.name == "model.safetensors" and p.parent.name == "checkpoint-6"]
    weights.write_bytes(b"other")
    elsewhere = on_node(tmp_path, "b")
    Carrier(depot, elsewhere).bring(notices.append)
    assert newest_whole(elsewhere.checkpoint, pytest.fail).name == "checkpoint-3"
    assert [("is not what was sent" in notice, "checkpoint-6" in notice) for notice in notices] == [(True, True)]


def test_the_last_two_epochs_stay_in_the_storage_and_none_once_the_trial_is_done(tmp_path, depot):
    here = on_node(tmp_path, "a")
    for step in (3, 6, 9):
        Carrier(depot, trained(here, step)).epoch(pytest.fail)
    assert [parcel.step for parcel in depot.parcels(TRIAL)] == [9, 6]
    Carrier(depot, finished(here)).deliver()
    [result] = depot.parcels(TRIAL)
    assert result.is_result


def test_a_result_is_sealed_in_the_drivers_folder_and_leaves_nothing_in_the_storage(tmp_path, depot, ledger):
    ledger.trial(TRIAL).note("lost its worker and starts again")
    sent = on_node(tmp_path, "a")
    with sent.metered(gpus=0, usd_per_hour=2.0):
        trained(sent, 3)
    Carrier(depot, finished(sent)).deliver()
    collect(depot, ledger.trial(TRIAL))
    came = ledger.trial(TRIAL)
    assert came.is_done()
    assert came.manifest() == {**sent.manifest(), "notices": ["lost its worker and starts again"]}
    assert came.attempts() == sent.attempts()
    assert files_of(depot) == []


@pytest.mark.parametrize("cut_at", range(4))
def test_a_driver_that_was_killed_while_a_result_came_finds_it_at_its_next_start(
    tmp_path, depot, ledger, cut_at, monkeypatch
):
    Carrier(depot, finished(trained(on_node(tmp_path, "a"), 3))).deliver()
    fetch, n_fetched = Store.fetch, 0

    def fetch_and_die(store, name, path, *, patience):
        nonlocal n_fetched
        n_fetched += 1
        if n_fetched > cut_at:
            raise KeyboardInterrupt
        return fetch(store, name, path, patience=patience)

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Store, "fetch", fetch_and_die)
        patched.setattr(Store, "remove", die)  # killed after the manifest, before the storage is empty
        with pytest.raises(KeyboardInterrupt):
            collect(depot, ledger.trial(TRIAL))
    assert ledger.trial(TRIAL).is_done() == (cut_at == 3)
    settle(depot, ledger, pytest.fail)
    assert ledger.trial(TRIAL).is_done()
    assert files_of(depot) == []


def test_a_result_that_is_not_what_was_sent_counts_for_nothing_and_is_removed(tmp_path, depot, ledger):
    Carrier(depot, finished(trained(on_node(tmp_path, "a"), 3))).deliver()
    [predictions] = [path for path in files_of(depot) if path.name == "test.parquet"]
    predictions.write_bytes(b"better")
    said = []
    settle(depot, ledger, said.append)
    assert not ledger.trial(TRIAL).is_done()
    assert ["test.parquet is not what was sent; it is trained again" in line for line in said] == [True]
    assert depot.parcels(TRIAL) == []


def test_what_a_trial_took_on_every_node_is_counted_once(tmp_path, depot, ledger):
    for name in ("a", "b"):
        folder = on_node(tmp_path, name)
        Carrier(depot, folder).bring(pytest.fail)
        with folder.metered(gpus=1, usd_per_hour=3.0):
            trained(folder, 3) if name == "a" else None
            Carrier(depot, folder).epoch(pytest.fail)
        started = folder.attempts()[-1].started
        account = json.loads(folder.attempts_file.read_text())
        account["attempts"][-1] |= {"seconds": 100.0, "started": f"{name}{started}"}
        folder.attempts_file.write_text(json.dumps(account))
        Carrier(depot, folder).epoch(pytest.fail)
    settle(depot, ledger, pytest.fail)
    assert ledger.trial(TRIAL).seconds() == pytest.approx(200.0, abs=5)  # a history is no account
    assert len(ledger.trial(TRIAL).history_rows()) == 1


def test_what_starts_without_a_storage_left_is_sent_to_the_nodes(tmp_path, depot, ledger):
    with ledger.trial(TRIAL).metered(gpus=0, usd_per_hour=None):
        trained(ledger.trial(TRIAL), 3)
    settle(depot, ledger, pytest.fail)
    elsewhere = on_node(tmp_path, "a")
    Carrier(depot, elsewhere).bring(pytest.fail)
    assert newest_whole(elsewhere.checkpoint, pytest.fail).name == "checkpoint-3"
    assert elsewhere.attempts() == ledger.trial(TRIAL).attempts()


def damage(depot, name):
    """Alter every file of that name in the storage."""
    for path in files_of(depot):
        if path.name == name:
            path.write_bytes(b"other")


@contextlib.contextmanager
def away_for(monkeypatch, *names):
    """In this block the storage is away as soon as a file of these names is asked for."""

    def away_or(ask):
        def answer(store, asked, *args, **options):
            if asked.rpartition("/")[2] in names:
                raise DepotError("it is away")
            return ask(store, asked, *args, **options)

        return answer

    with monkeypatch.context() as patched:
        patched.setattr(Store, "fetch", away_or(Store.fetch))
        patched.setattr(Store, "read", away_or(Store.read))
        yield


@pytest.mark.parametrize("name", ["parcel.json", "test.parquet", "attempts.json", "manifest.json"])
def test_a_result_outlives_a_storage_that_goes_away_while_it_comes_and_is_fetched_later(
    tmp_path, depot, ledger, monkeypatch, name
):
    sent = on_node(tmp_path, "a")
    with sent.metered(gpus=0, usd_per_hour=2.0):
        trained(sent, 3)
    Carrier(depot, finished(sent)).deliver()
    with away_for(monkeypatch, name):
        for fetch in (lambda: collect(depot, ledger.trial(TRIAL)), lambda: settle(depot, ledger, pytest.fail)):
            with pytest.raises(DepotError, match="it is away"):
                fetch()
        assert not ledger.trial(TRIAL).is_done()
    settle(depot, ledger, pytest.fail)
    assert ledger.trial(TRIAL).manifest() == sent.manifest()
    assert ledger.trial(TRIAL).attempts() == sent.attempts()


def test_a_trial_that_cannot_be_told_how_far_it_is_does_not_start_from_scratch(tmp_path, depot, monkeypatch):
    Carrier(depot, trained(on_node(tmp_path, "a"), 3)).epoch(pytest.fail)
    elsewhere = on_node(tmp_path, "b")
    with away_for(monkeypatch, "model.safetensors"), pytest.raises(DepotError, match="it is away"):
        Carrier(depot, elsewhere).bring(pytest.fail)
    assert [parcel.step for parcel in depot.parcels(TRIAL)] == [3]
    Carrier(depot, elsewhere).bring(pytest.fail)
    assert newest_whole(elsewhere.checkpoint, pytest.fail).name == "checkpoint-3"


def test_what_is_damaged_in_the_drivers_folder_costs_no_result(tmp_path, depot, ledger):
    Carrier(depot, finished(trained(on_node(tmp_path, "a"), 3))).deliver()
    account = ledger.trial(TRIAL).attempts_file
    account.parent.mkdir(parents=True)
    account.write_text("{")
    for fetch in (lambda: collect(depot, ledger.trial(TRIAL)), lambda: settle(depot, ledger, pytest.fail)):
        with pytest.raises(LedgerError, match=r"attempts\.json must hold what the trial's attempts took"):
            fetch()
    account.unlink()
    settle(depot, ledger, pytest.fail)
    assert ledger.trial(TRIAL).is_done()


def test_a_result_that_is_home_is_done_though_the_storage_cannot_be_emptied(tmp_path, depot, ledger, monkeypatch):
    Carrier(depot, finished(trained(on_node(tmp_path, "a"), 3))).deliver()

    def away(*_, **__):
        raise DepotError("it is away")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "remove", away)
        collect(depot, ledger.trial(TRIAL))
    assert ledger.trial(TRIAL).is_done()
    settle(depot, ledger, pytest.fail)
    assert files_of(depot) == []


def test_what_a_damaged_result_took_is_billed(tmp_path, depot, ledger):
    sent = on_node(tmp_path, "a")
    with sent.metered(gpus=0, usd_per_hour=2.0):
        trained(sent, 3)
    Carrier(depot, finished(sent)).deliver()
    damage(depot, "test.parquet")
    settle(depot, ledger, [].append)
    assert ledger.trial(TRIAL).attempts() == sent.attempts()


@pytest.mark.parametrize("name", ["parcel.json", "history.csv", "attempts.json"])
def test_a_start_goes_on_from_the_epoch_before_one_that_is_damaged(tmp_path, depot, ledger, name):
    here = on_node(tmp_path, "a")
    Carrier(depot, trained(here, 3)).epoch(pytest.fail)
    with here.metered(gpus=0, usd_per_hour=2.0):
        Carrier(depot, trained(here, 6)).epoch(pytest.fail)
    [newest] = [path for path in files_of(depot) if path.name == name and "/6-" in str(path)]
    newest.write_bytes(b"other")
    settle(depot, ledger, pytest.fail)
    assert len(ledger.trial(TRIAL).history_rows()) == 1


def test_epochs_that_are_damaged_take_no_place_of_those_that_are_sent_after_them(tmp_path, depot):
    here = on_node(tmp_path, "a")
    for step in (6, 9):
        Carrier(depot, trained(here, step)).epoch(pytest.fail)
    damage(depot, "model.safetensors")
    elsewhere, notices = on_node(tmp_path, "b"), []
    carrier = Carrier(depot, elsewhere)
    carrier.bring(notices.append)
    assert len(notices) == 2
    trained(elsewhere, 3)
    carrier.epoch(pytest.fail)
    assert [parcel.step for parcel in depot.parcels(TRIAL)] == [3]


class Away:
    """A storage that answers an error for a while."""

    def __init__(self, monkeypatch):
        self.is_away = True
        send = Store.send_bytes

        def answer(store, *args, **options):
            if self.is_away:
                raise DepotError("it is away")
            return send(store, *args, **options)

        monkeypatch.setattr(Store, "send_bytes", answer)


def test_an_epoch_that_cannot_be_sent_is_said_once_and_the_next_that_can_takes_its_place(
    tmp_path, depot, monkeypatch
):
    away, here, notices = Away(monkeypatch), on_node(tmp_path, "a"), []
    carrier = Carrier(depot, here)
    for step in (3, 6, 9):
        away.is_away = step < 9
        trained(here, step)
        carrier.epoch(notices.append)
    assert notices == ["could not send its epoch and goes on without: it is away"]
    assert [parcel.step for parcel in depot.parcels(TRIAL)] == [9]


def test_a_result_that_cannot_be_sent_is_an_error(tmp_path, depot, monkeypatch):
    away, carrier = Away(monkeypatch), Carrier(depot, finished(trained(on_node(tmp_path, "a"), 3)))
    with pytest.raises(DepotError, match="it is away"):
        carrier.deliver()
    away.is_away = False
    carrier.deliver()
    assert depot.parcels(TRIAL)[0].is_result


@pytest.mark.parametrize("name", ["../escaped", "/etc/escaped", "a/../../escaped"])
def test_a_list_that_names_a_file_elsewhere_is_no_list(tmp_path, depot, name):
    Carrier(depot, trained(on_node(tmp_path, "a"), 3)).epoch(pytest.fail)
    [listed] = [path for path in files_of(depot) if path.name == LIST]
    listed.write_text(json.dumps({name: "0" * 64}))
    notices = []
    Carrier(depot, on_node(tmp_path, "b")).bring(notices.append)
    assert ["must list files of a trial's folder" in notice for notice in notices] == [True]


def test_a_sweep_finds_its_place_in_the_storage_again_and_two_sweeps_share_none(tmp_path):
    uri = f"file://{tmp_path}/storage"
    one, other = SweepFolder(tmp_path / "a" / "focal-tiny"), SweepFolder(tmp_path / "b" / "focal-tiny")
    assert depot_of(one, uri).key == depot_of(one, uri).key
    assert depot_of(one, uri).key != depot_of(other, uri).key
    assert files_of(depot_of(one, uri)) == []


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/proc/version").exists(), reason="needs /proc to be refused by")
def test_a_storage_that_cannot_be_written_is_refused_in_a_line(tmp_path):
    with pytest.raises(DepotError, match=r"^file:///proc/nowhere must let us write focal-tiny-\w+/\w+\.probe: "):
        depot_of(SweepFolder(tmp_path / "focal-tiny"), "file:///proc/nowhere")
