"""A disk that is full stops a sweep in order; with room again the same command goes on from there."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.small_disk import small_disk
from tests.tiny_sweep import TinySweep

ROOM_FOR_A_TRIAL = 300
"""kB: one trial ends, another one's checkpoints fill the disk."""


@pytest.fixture
def disk(tiny):
    """The disk that the sweep writes to."""
    with small_disk(tiny.here / "runs") as disk:
        yield disk


def copied(calm: TinySweep, tiny: TinySweep) -> None:
    """The sweep done and reported, but not yet in this place's MLflow."""
    shutil.copytree(calm.folder, tiny.folder)


def half_written(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name != ".gitignore"]


def test_a_disk_that_fills_up_in_training_stops_the_sweep_and_fails_no_trial(tiny, calm, disk):
    disk.fill(leaving=ROOM_FOR_A_TRIAL)
    stopped = tiny.run()
    assert stopped.returncode == 1
    last = stopped.stdout.splitlines()[-1]
    assert last.startswith(f"Stopped: the disk of {tiny.folder} is full (")
    assert "a trial under way needs about" in last
    assert last.endswith("of 4 trials done; the same command goes on from here.")
    assert "Traceback" not in stopped.stdout
    assert not [*tiny.folder.glob("trials/*/failure.json")]
    done = tiny.trials()
    assert len(done) < 4

    disk.make_room()
    assert tiny.run().returncode == 0
    assert tiny.trials().items() >= done.items(), "what was done is not run again"
    assert tiny.logits() == calm.logits()
    assert half_written(tiny.folder) == []


def test_a_disk_without_any_room_at_the_start_is_said_in_a_line(tiny, disk):
    disk.fill(leaving=0)
    refused = tiny.run()
    assert refused.returncode == 1
    last = refused.stdout.splitlines()[-1]
    assert last == (
        f"dermtune-sweep: the disk of {tiny.folder} is full: 0 kB free are too few; "
        "the same command goes on from here"
    )
    assert "Traceback" not in refused.stdout
    assert not (tiny.folder / "sweep.json").exists()


def test_a_report_that_finds_no_room_leaves_the_one_before_and_is_made_when_there_is_some(tiny, calm, disk):
    copied(calm, tiny)
    before = (tiny.folder / "report" / "report.json").read_bytes()
    disk.fill(leaving=200)
    stopped = tiny.run()
    assert stopped.returncode == 1
    assert f"the disk of {tiny.folder} is full" in stopped.stdout.splitlines()[-1]
    assert "Traceback" not in stopped.stdout
    assert (tiny.folder / "report" / "report.json").read_bytes() == before
    assert half_written(tiny.folder) == []

    disk.make_room()
    assert tiny.run().returncode == 0


def test_an_mlflow_store_on_a_full_disk_is_completed_by_the_same_command(tiny, calm):
    copied(calm, tiny)
    with small_disk(tiny.here / "database") as disk:
        database = disk.path / "mlflow.db"
        disk.fill(leaving=100)
        without = tiny.run("--tracking-uri", f"sqlite:///{database}")
        assert without.returncode == 0, "the folder is whole"
        assert "is not up to date" in without.stdout
        assert "the same command again completes it" in without.stdout
        assert not database.exists(), "half a store would never work again"

        disk.make_room()
        assert tiny.run("--tracking-uri", f"sqlite:///{database}").returncode == 0
        with contextlib.closing(sqlite3.connect(database)) as store:
            assert store.execute("select status, count(*) from runs group by status").fetchall() == [
                ("FINISHED", 5)
            ]


def test_a_cache_without_room_is_named_and_nothing_half_decoded_counts(tiny, tmp_path, shared):
    tiny.run("--dry-run")  # the images are drawn
    with small_disk(tmp_path / "cache", megabytes=1) as disk:
        elsewhere = TinySweep(here=tiny.here, shared=shared, environment={"DERMTUNE_CACHE": str(disk.path)})
        disk.fill(leaving=100)
        refused = elsewhere.run("--dry-run")
        assert refused.returncode == 2
        last = refused.stdout.splitlines()[-1]
        assert f"{disk.path}: must be a folder to keep decoded images in, with room for them" in last
        assert "Traceback" not in refused.stdout
        assert not [*disk.path.glob("images-*.npy"), *half_written(disk.path)]

        disk.make_room()
        assert elsewhere.run("--dry-run").returncode == 0
