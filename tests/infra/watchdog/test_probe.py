"""What a machine tells of the sweep's folder: whether anything in it has changed, and who runs in it."""

import os

import pytest

from infra.watchdog.probe import look


@pytest.fixture
def seen(rented):
    def seen():
        return look({"folder": str(rented.folder), "hashes": False, "signal": False})

    rented.finish("a" * 16)
    return seen


CHANGES = {
    "a longer file": lambda folder: (folder / "sweep.json").write_text("{}"),
    "another time": lambda folder: os.utime(folder / "sweep.json", (5, 5)),
    "a checkpoint": lambda folder: ((folder / "checkpoint").mkdir(), (folder / "checkpoint" / "x.pt").touch()),
    "a file less": lambda folder: next(folder.glob("trials/*/test.parquet")).unlink(),
    "another name": lambda folder: (folder / "sweep.json").rename(folder / "first.json"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_leaves_another_trace_and_nothing_leaves_the_same(seen, rented, change):
    in_2100 = 4102444800
    os.utime(next(rented.folder.glob("trials/*/val.parquet")), (in_2100, in_2100))
    before = seen()["trace"]
    assert seen()["trace"] == before
    CHANGES[change](rented.folder)
    assert seen()["trace"] != before


def test_who_fails_to_take_the_lock_is_no_sign_of_life(seen, rented):
    (rented.folder / "driver.lock").touch()
    before = seen()["trace"]
    os.utime(rented.folder / "driver.lock", (5, 5))
    assert seen()["trace"] == before


def test_a_driver_is_who_has_the_lock(seen, rented):
    assert seen()["driver"] is False
    with rented.driver():
        assert seen()["driver"] is True
    assert seen()["driver"] is False


def test_a_folder_that_is_not_there_has_nothing_in_it(tmp_path):
    told = look({"folder": str(tmp_path / "none"), "hashes": True, "signal": True})
    assert (told["files"], told["driver"], told["signalled"]) == ({}, False, False)
