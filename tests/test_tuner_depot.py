"""A sweep whose workers do not see its folder: all that they leave comes there through a storage."""

import pytest

from dermtune import tuner
from dermtune.data.place import Place
from dermtune.depot import depot_of, settle
from dermtune.ending import Ending
from dermtune.ledger import SweepFolder
from tests import tuner_workers as workers
from tests.monitors import Heard
from tests.plans import planned
from tests.tuner_workers import Diary, Fake


@pytest.fixture
def sent(tmp_path):
    """A sweep of four trials, one of which loses its worker and one of which raises."""
    the_plan, diary, heard = planned(), Diary(tmp_path / "diary"), Heard()
    dies, raises = the_plan.trials[:2]
    fake = Fake(diary=diary, mishaps={dies.title: workers.die_once, raises.title: workers.refuse})
    folder, place = SweepFolder(tmp_path / "sweep"), Place(data_dir=tmp_path, cache_dir=tmp_path / "cache")
    depot = depot_of(folder, f"file://{tmp_path}/storage")
    ending = tuner.run(the_plan.trials, folder, place, depot=depot, monitors=[heard], execute=fake)
    return the_plan, ending, heard, folder, depot, tmp_path


def test_results_failures_and_histories_come_into_the_sweeps_folder_and_nodes_keep_nothing_of_what_is_done(sent):
    the_plan, ending, heard, folder, depot, tmp_path = sent
    dies, raises, *others = the_plan.trials
    assert ending == Ending(finished=3, failed=1)
    assert set(folder.done(the_plan.trials)) == {t.trial_id for t in (dies, *others)}
    assert folder.trial(raises.trial_id).failure() == "an image must have three channels, got 4"
    assert heard.reasons == {raises.title: "an image must have three channels, got 4"}
    assert folder.trial(dies.trial_id).manifest()["notices"] == ["lost its worker and starts again"]
    on_node = tmp_path / "cache" / "trials" / depot.key / "trials"
    assert [path.name for path in on_node.iterdir()] == [raises.trial_id]
    settle(depot, folder, pytest.fail)
    assert [p for parcels in depot.all_parcels().values() for p in parcels if p.is_result] == []
