"""What trials sent to a storage comes home to the driver whole or stays there, whatever is cut off or away."""

import json
import os
import shutil
from pathlib import Path

import pytest

from dermtune.checkpoints import newest_whole
from dermtune.depot import Carrier, Depot, DepotError, Store, collect, depot_of, settle
from dermtune.depot.parcels import LIST
from dermtune.ledger import LedgerError, Pruned, SweepFolder
from tests.depots import TRIAL, away_for, damage, files_of, finished, on_node, trained


@pytest.fixture
def depot(tmp_path):
    return Depot(store=Store(uri=f"file://{tmp_path}/storage"), key="sweep-1", patience=0.0, last_patience=0.0)


@pytest.fixture
def ledger(tmp_path):
    return SweepFolder(tmp_path / "ledger")


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


def test_a_folder_of_the_drivers_that_is_gone_is_not_taken_for_a_result_that_is(
    tmp_path, depot, ledger, monkeypatch
):
    Carrier(depot, finished(trained(on_node(tmp_path, "a"), 3))).deliver()

    def gone(path):
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr("dermtune.depot.store.whole", gone)
    with pytest.raises(DepotError, match="No such file or directory"):
        collect(depot, ledger.trial(TRIAL))
    assert depot.parcels(TRIAL)[0].is_result


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


def test_what_only_the_driver_knows_of_is_told_to_the_next_node_though_two_epochs_lie_there(
    tmp_path, depot, ledger
):
    here = on_node(tmp_path, "a")
    for step in (3, 6):
        Carrier(depot, trained(here, step)).epoch(pytest.fail)
    with ledger.trial(TRIAL).metered(gpus=0, usd_per_hour=2.0):
        pass
    for _ in range(2):
        settle(depot, ledger, pytest.fail)
    assert [parcel.step for parcel in depot.parcels(TRIAL)] == [6, 3, 0]
    elsewhere = on_node(tmp_path, "b")
    Carrier(depot, elsewhere).bring(pytest.fail)
    assert newest_whole(elsewhere.checkpoint, pytest.fail).name == "checkpoint-6"
    assert elsewhere.attempts() == ledger.trial(TRIAL).attempts() != ()
    Carrier(depot, trained(elsewhere, 9)).epoch(pytest.fail)
    assert [parcel.step for parcel in depot.parcels(TRIAL)] == [9, 6]


def test_a_result_of_a_trial_that_a_search_has_pruned_before_comes_home(tmp_path, depot, ledger):
    trained(ledger.trial(TRIAL), 3).prune(Pruned(epochs=1, scores={}))
    Carrier(depot, finished(trained(on_node(tmp_path, "a"), 3))).deliver()
    settle(depot, ledger, pytest.fail)
    assert ledger.trial(TRIAL).is_done()
    assert (ledger.trial(TRIAL).pruned(), files_of(depot)) == (None, [])


@pytest.mark.parametrize("sealed", [True, False])
def test_a_start_removes_what_a_node_was_killed_sending_of_a_trial_that_has_ended(tmp_path, depot, ledger, sealed):
    Carrier(depot, trained(on_node(tmp_path, "a"), 3)).epoch(pytest.fail)
    [listed] = [path for path in files_of(depot) if path.name == LIST]
    listed.unlink()
    trial = ledger.trial(TRIAL)
    finished(trained(trial, 3)) if sealed else trial.prune(Pruned(epochs=1, scores={}))
    settle(depot, ledger, pytest.fail)
    assert files_of(depot) == []


def test_a_sweep_finds_its_place_in_the_storage_again_and_two_sweeps_share_none(tmp_path):
    uri = f"file://{tmp_path}/storage"
    one, other = SweepFolder(tmp_path / "a" / "focal-tiny"), SweepFolder(tmp_path / "b" / "focal-tiny")
    assert depot_of(one, uri, pytest.fail).key == depot_of(one, uri, pytest.fail).key
    assert depot_of(one, uri, pytest.fail).key != depot_of(other, uri, pytest.fail).key
    assert files_of(depot_of(one, uri, pytest.fail)) == []


def test_a_sweep_that_was_moved_keeps_its_place_in_the_storage_and_a_copy_gets_one_of_its_own(tmp_path):
    uri, said = f"file://{tmp_path}/storage", []
    key = depot_of(SweepFolder(tmp_path / "a"), uri, pytest.fail).key
    (tmp_path / "a").rename(tmp_path / "moved")
    assert depot_of(SweepFolder(tmp_path / "moved"), uri, pytest.fail).key == key
    (tmp_path / "seen").symlink_to(tmp_path / "moved")
    assert depot_of(SweepFolder(tmp_path / "seen"), uri, pytest.fail).key == key
    shutil.copytree(tmp_path / "moved", tmp_path / "copy")
    copy = depot_of(SweepFolder(tmp_path / "copy"), uri, said.append).key
    [line] = said
    assert line.startswith(f"{tmp_path}/copy is a copy of {tmp_path}/moved, ")
    assert copy != key
    assert depot_of(SweepFolder(tmp_path / "copy"), uri, pytest.fail).key == copy
    assert depot_of(SweepFolder(tmp_path / "moved"), uri, pytest.fail).key == key


def test_a_place_in_the_storage_from_before_folders_were_noted_stays_that_of_its_sweep(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "storage.json").write_text('{"format": 1, "key": "a-0123"}')
    for _ in range(2):
        assert depot_of(SweepFolder(tmp_path / "a"), f"file://{tmp_path}/storage", pytest.fail).key == "a-0123"


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/proc/version").exists(), reason="needs /proc to be refused by")
def test_a_storage_that_cannot_be_written_is_refused_in_a_line(tmp_path):
    with pytest.raises(DepotError, match=r"^file:///proc/nowhere must let us write focal-tiny-\w+/\w+\.probe: "):
        depot_of(SweepFolder(tmp_path / "focal-tiny"), "file:///proc/nowhere", pytest.fail)
