"""What a trial sends to a storage its next node has whole or not at all, whatever is cut off, damaged or away."""

import json

import pytest

from dermtune.checkpoints import newest_whole
from dermtune.depot import Carrier, Depot, DepotError, Store, make_room
from dermtune.depot.parcels import LIST
from dermtune.ledger import SweepFolder, written_alone
from tests.depots import TRIAL, away_for, damage, files_of, finished, on_node, trained


@pytest.fixture
def depot(tmp_path):
    return Depot(store=Store(uri=f"file://{tmp_path}/storage"), key="sweep-1", patience=0.0, last_patience=0.0)


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


def test_a_trial_that_cannot_be_told_how_far_it_is_does_not_start_from_scratch(tmp_path, depot, monkeypatch):
    Carrier(depot, trained(on_node(tmp_path, "a"), 3)).epoch(pytest.fail)
    elsewhere = on_node(tmp_path, "b")
    with away_for(monkeypatch, "model.safetensors"), pytest.raises(DepotError, match="it is away"):
        Carrier(depot, elsewhere).bring(pytest.fail)
    assert [parcel.step for parcel in depot.parcels(TRIAL)] == [3]
    Carrier(depot, elsewhere).bring(pytest.fail)
    assert newest_whole(elsewhere.checkpoint, pytest.fail).name == "checkpoint-3"


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


def test_a_node_keeps_no_checkpoint_of_a_trial_that_went_on_elsewhere_and_each_that_is_needed(tmp_path, depot):
    node = SweepFolder(tmp_path / "a")
    gone_on, ahead, _, written, ours = everyone = [TRIAL[:-1] + i for i in "56789"]
    for trial_id in everyone:
        trained(on_node(tmp_path, "a", trial_id), 3)
    for trial_id in (gone_on, ahead):
        Carrier(depot, node.trial(trial_id)).epoch(pytest.fail)
    trained(node.trial(ahead), 6)
    with written_alone(node.trial(written).path):
        make_room(depot, node, [ours])
    assert [i for i in everyone if node.trial(i).checkpoint.exists()] == [ahead, written, ours]


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


def test_what_is_sent_is_sent_though_what_came_before_cannot_be_removed(tmp_path, depot, monkeypatch):
    def away(*_, **__):
        raise DepotError("it is away")

    here = on_node(tmp_path, "a")
    carrier = Carrier(depot, here)
    monkeypatch.setattr(Store, "remove", away)
    for step in (3, 6, 9):
        trained(here, step)
        carrier.epoch(pytest.fail)
    finished(here)
    carrier.deliver()
    assert [(parcel.is_result, parcel.step) for parcel in depot.parcels(TRIAL)][:2] == [(True, 0), (False, 9)]


@pytest.mark.parametrize("name", ["../escaped", "/etc/escaped", "a/../../escaped"])
def test_a_list_that_names_a_file_elsewhere_is_no_list(tmp_path, depot, name):
    Carrier(depot, trained(on_node(tmp_path, "a"), 3)).epoch(pytest.fail)
    [listed] = [path for path in files_of(depot) if path.name == LIST]
    listed.write_text(json.dumps({name: "0" * 64}))
    notices = []
    Carrier(depot, on_node(tmp_path, "b")).bring(notices.append)
    assert ["must list files of a trial's folder" in notice for notice in notices] == [True]
