"""A checkpoint that was damaged after a kill: the one before it is used, to the same bits, and it is said."""

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dermtune.ledger import written_alone
from tests.tiny_sweep import RECIPE, TinySweep, wait_until

ONE_SEED = ("--seeds", "1")


def sealed(folder: Path) -> list[Path]:
    """The whole checkpoints of a trial's folder, oldest first."""
    found = [path.parent for path in folder.glob("checkpoint/*/sealed.json")]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def unfinished(tiny: TinySweep) -> list[Path]:
    """Folders of trials with two checkpoints and no manifest."""
    trials = [path for path in tiny.folder.glob("trials/*") if not (path / "manifest.json").exists()]
    return [path for path in trials if len(sealed(path)) == 2]


@pytest.fixture(scope="module")
def killed(tmp_path_factory, shared):
    """Two trials of which at least one was killed when it had two checkpoints and many epochs to go."""
    recipe = RECIPE.replace("epochs=4", "epochs=40")
    tiny = TinySweep.written(tmp_path_factory.mktemp("killed"), shared, recipe=recipe)
    kill(tiny)
    while not unfinished(tiny):  # between two epochs only one checkpoint is whole
        kill(tiny)
    return tiny


def kill(tiny: TinySweep) -> None:
    """Have it go on to two checkpoints of a trial, and kill it; its workers end a second or two later."""
    driver = tiny.start(*ONE_SEED)
    try:
        wait_until(lambda: unfinished(tiny), "a trial with two checkpoints", seconds=200)
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        driver.stdout.close()
    for trial in tiny.folder.glob("trials/*"):
        with written_alone(trial):
            pass


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, killed):
    """What the same sweep predicts where nobody kills it."""
    tiny = TinySweep.written(
        tmp_path_factory.mktemp("undisturbed"), killed.shared, recipe=(killed.here / "recipe.py").read_text()
    )
    assert tiny.run(*ONE_SEED).returncode == 0
    return tiny.logits()


def truncate(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)


def alter(checkpoint: Path) -> None:
    """One bit of the optimiser's state, as a failing disk would flip it."""
    content = bytearray((checkpoint / "optimizer.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (checkpoint / "optimizer.pt").write_bytes(content)


def delete(checkpoint: Path) -> None:
    (checkpoint / "rng_state.pth").unlink()


def ended(killed: TinySweep, here: Path, harm: Callable[[Sequence[Path]], list[str]]) -> TinySweep:
    """The killed sweep in a place of its own at its end, after it said the notices that the harm leads to."""
    shutil.copytree(killed.here, here)
    tiny = TinySweep(here=here, shared=killed.shared)
    trial = unfinished(tiny)[0]
    notices = harm(sealed(trial))
    run = tiny.run(*ONE_SEED)
    assert run.returncode == 0, run.stdout
    manifest = tiny.trials()[trial.name]
    assert manifest["notices"] == notices
    title = f"{manifest['arm']} · seed {manifest['seed']}"
    assert {f"{title} {notice}" for notice in notices} <= set(run.stdout.splitlines())
    return tiny


@pytest.mark.parametrize(
    "harm", [truncate, pytest.param(alter, marks=pytest.mark.slow), pytest.param(delete, marks=pytest.mark.slow)]
)
def test_with_a_damaged_checkpoint_the_one_before_is_used_and_the_result_is_the_same(
    tmp_path, killed, undisturbed, harm
):
    def harm_newest(checkpoints: Sequence[Path]) -> list[str]:
        before, newest = checkpoints
        harm(newest)
        return [f"has a damaged {newest.name}, it goes on from {before.name}"]

    assert ended(killed, tmp_path / "here", harm_newest).logits() == undisturbed


def test_without_any_whole_checkpoint_the_trial_starts_from_scratch_and_says_so(tmp_path, killed, undisturbed):
    def harm_both(checkpoints: Sequence[Path]) -> list[str]:
        before, newest = checkpoints
        truncate(before)
        alter(newest)
        return [f"has a damaged {path.name}, it starts from scratch" for path in (newest, before)]

    assert ended(killed, tmp_path / "here", harm_both).logits() == undisturbed
