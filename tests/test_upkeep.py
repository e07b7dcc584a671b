"""What a start sets right before it goes on."""

import errno
import fcntl
import json

import pytest

from dermtune.durable import read_json, write_json, write_text
from dermtune.ledger import LedgerError, SweepFolder, upkeep


def finished(folder: SweepFolder, trial_id: str, **manifest) -> None:
    trial = folder.trial(trial_id)
    trial.write_history([{"epoch": 1, "train_loss": 0.5}])
    for split in ("val", "test"):
        trial.predictions(split).write_bytes(split.encode())
    trial.finish({"trial_id": trial_id, "seconds": 3.0, **manifest})


@pytest.fixture
def folder(tmp_path):
    folder = SweepFolder(tmp_path)
    for trial_id in "abcdef":
        finished(folder, trial_id)
    return folder


def test_damaged_trials_are_told_with_what_is_wrong(folder):
    (folder.trial("a").path / "val.parquet").write_bytes(b"altered")
    (folder.trial("b").path / "history.csv").unlink()
    (folder.trial("c").path / "manifest.json").write_text('{"stat')
    write_json(folder.trial("d").path / "manifest.json", {"status": "done"})
    folder.trial("e").path.rename(folder.trial("g").path)
    found = upkeep.damaged(folder)
    assert found.pop("c").startswith("manifest.json cannot be read: ")
    assert found == {
        "a": "val.parquet is not what the manifest sealed",
        "b": "history.csv is gone",
        "d": "manifest.json has no hashes of the trial's files",
        "g": "manifest.json is that of trial e",
    }


def test_a_trial_that_was_never_done_is_not_damaged(folder):
    folder.trial("x").write_history([{"epoch": 1}])
    folder.trial("y").fail("failed", "no", "")
    assert upkeep.damaged(folder) == {}


def test_a_trial_that_is_set_aside_is_kept_as_it_is_and_can_be_run_again(folder):
    for n in (1, 2):
        (folder.trial("a").path / "val.parquet").write_bytes(b"altered")
        place = upkeep.set_aside(folder, "a")
        assert place == folder.path / "damaged" / f"a-{n}"
        assert (place / "val.parquet").read_bytes() == b"altered"
        assert (place / "manifest.json").exists()
        assert not folder.trial("a").is_done()
        finished(folder, "a")
    assert upkeep.damaged(folder) == {}


def test_what_a_trial_cost_stays_when_it_is_set_aside(folder):
    upkeep.set_aside(folder, "a")
    (attempt,) = folder.trial("a").attempts()
    assert (attempt.seconds, attempt.kept_seconds) == (3.0, 0.0)


def test_only_what_dead_writers_left_in_places_of_ours_is_removed(folder):
    ours = [
        folder.path / ".sweep.json.node-1.cluster-4711",
        folder.trial("a").path / ".manifest.json.host-12",
        folder.trial("a").path / ".val.parquet.1234",
        folder.trial("a").checkpoint / "checkpoint-6" / ".sealed.json.host-12",
        folder.path / ".report-x1y2" / "report.html",
    ]
    others = [folder.path / ".notes", folder.path / "damaged" / "a-1" / ".val.parquet.host-1", folder.path / "x-1"]
    for path in (*ours, *others):
        write_text(path, "half")
    upkeep.tidy(folder)
    assert [path for path in ours if path.exists()] == []
    assert [path for path in others if not path.exists()] == []
    assert upkeep.leftovers(folder) == []
    assert upkeep.damaged(folder) == {}


def test_a_report_that_was_cut_off_while_it_was_replaced_is_put_back(folder):
    write_text(folder.path / ".report-x1y2.old" / "report.json", '{"arms": []}')
    write_text(folder.path / ".report-x1y2" / "report.json", "{}")
    upkeep.tidy(folder)
    assert read_json(folder.report / "report.json") == {"arms": []}
    assert upkeep.leftovers(folder) == []


def test_notices_of_all_attempts_stand_in_the_manifest(tmp_path):
    folder = SweepFolder(tmp_path)
    folder.trial("a").note("lost its worker")
    folder.trial("a").note("has a damaged checkpoint-6")
    finished(folder, "a")
    assert folder.trial("a").manifest()["notices"] == ["lost its worker", "has a damaged checkpoint-6"]
    assert not (folder.trial("a").path / "notices.json").exists()
    finished(folder, "b")
    assert folder.trial("b").manifest()["notices"] == []


def test_notices_that_cannot_be_read_are_none(tmp_path):
    trial = SweepFolder(tmp_path).trial("a")
    write_text(trial.path / "notices.json", "{")
    assert trial.notices() == ()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said_in_a_line(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "cannot")  # no file system here lacks locks

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(LedgerError, match="must lie on a file system that can lock files") as raised,
        SweepFolder(tmp_path).lock(),
    ):
        pass
    assert "\n" not in str(raised.value)


def test_the_lock_names_its_holder(tmp_path):
    folder = SweepFolder(tmp_path)
    with folder.lock():
        assert json.loads((tmp_path / "driver.lock").read_text()).keys() == {"pid", "host"}
