"""A done trial that was damaged is set aside and run again, never in silence."""

import json
import os
import re
import shutil

import pytest

from dermtune import verify


@pytest.fixture
def damaged(tiny, calm):
    """The calm sweep in a place of its own, and the ids of two trials: one cut short, one with a flipped bit."""
    shutil.copytree(calm.folder, tiny.folder)
    truncated, flipped = sorted(tiny.trials())[:2]
    os.truncate(tiny.folder / "trials" / truncated / "test.parquet", 1000)
    path = tiny.folder / "trials" / flipped / "val.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return tiny, (truncated, flipped)


def test_a_damaged_trial_is_set_aside_with_a_line_and_run_again_to_the_same_predictions(damaged, calm):
    tiny, (truncated, flipped) = damaged
    assert verify.main([str(tiny.folder)]) == 1

    asked = tiny.run("--dry-run")
    assert asked.returncode == 0
    assert (
        f"({truncated}), which runs again, is damaged: test.parquet is not what the manifest sealed" in asked.stdout
    )
    assert re.search(r"^in all +2 +2 ", asked.stdout, re.MULTILINE), "two are done, two are to run"
    assert not (tiny.folder / "damaged").exists(), "a dry run changes nothing"

    mended = tiny.run()
    assert mended.returncode == 0
    said = [line for line in mended.stdout.splitlines() if "is damaged" in line]
    assert len(said) == 2
    assert "test.parquet is not what the manifest sealed; set aside in runs/tiny-tiny/damaged/" in "".join(said)
    assert {path.name for path in (tiny.folder / "damaged").iterdir()} == {f"{truncated}-1", f"{flipped}-1"}
    assert (tiny.folder / "damaged" / f"{truncated}-1" / "test.parquet").stat().st_size == 1000
    assert tiny.logits() == calm.logits()
    assert verify.main([str(tiny.folder)]) == 0


def test_what_a_damaged_trial_cost_is_still_counted(damaged):
    tiny, (truncated, _) = damaged
    spent = tiny.trials()[truncated]["seconds"]
    tiny.run()
    assert tiny.trials()[truncated]["seconds"] > spent
    attempts = json.loads((tiny.folder / "trials" / truncated / "attempts.json").read_text())["attempts"]
    assert [attempt["ended"] for attempt in attempts] == ["done", "done"]
    assert attempts[0]["kept_seconds"] == 0
