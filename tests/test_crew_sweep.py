"""A sweep whose trials are each trained by two processes, through the door."""

from collections import Counter

import numpy as np
import pytest

from dermtune.config import Config
from dermtune.data.dataset import open_dataset
from dermtune.data.place import Place
from dermtune.plan import Trial
from dermtune.selection import Selection
from dermtune.sweep import main
from dermtune.train import train
from dermtune.verify import main as verify
from tests.crew_sweep import SIGLIP, TOGETHER
from tests.staged_sweep import SEARCH
from tests.tiny_sweep import RECIPE, TinySweep


def test_a_sweep_of_two_processes_a_trial_is_sound_and_predicts_what_one_process_would(tmp_path):
    sweep = TinySweep.written(tmp_path / "here", tmp_path / "shared", recipe=SIGLIP)
    ended = sweep.run(*TOGETHER)
    assert ended.returncode == 0, ended.stdout
    assert verify([str(sweep.folder)]) == 0
    place = Place(data_dir=sweep.shared / "data", cache_dir=sweep.shared / "cache")
    predicted = sweep.logits()
    assert len(sweep.trials()) == 2
    for trial_id, manifest in sweep.trials().items():
        assert (manifest["processes"], manifest["threads"], manifest["gpus"]) == (2, 1, 0)
        assert {path.name for path in (sweep.folder / "trials" / trial_id).iterdir()} == LEFT_BEHIND
        trial = trial_of(manifest)
        assert trial.trial_id == trial_id, "the number of processes is no part of it"
        alone = train(
            trial,
            open_dataset(trial.config.data, place),
            checkpoint=tmp_path / trial_id,
            threads=1,
            on_epoch=lambda history: None,
        )
        for expected in (alone.val, alone.test):
            rows = predicted[trial.arm, trial.seed, expected.split]
            assert [row["sample_id"] for row in rows] == list(expected.sample_id)
            np.testing.assert_allclose([row["logits"] for row in rows], expected.logits, atol=1e-4)


LEFT_BEHIND = {"attempts.json", "history.csv", "manifest.json", "test.parquet", "val.parquet"}


def trial_of(manifest):
    return Trial(
        arm=manifest["arm"],
        levers=manifest["levers"],
        seed=manifest["seed"],
        config=Config.from_dict(manifest["config"]),
        fingerprints=manifest["fingerprints"],
    )


RESNET = RECIPE.replace("epochs=4", "epochs=1")


@pytest.mark.parametrize(
    ("recipe", "asked", "said"),
    [
        (RESNET, ("--processes-per-trial", "2"), "without batch normalisation"),
        (
            SIGLIP,
            ("--processes-per-trial", "3"),
            "`batch_size` 64 x `accumulation` 1, must be divisible by the processes",
        ),
        (SIGLIP, ("--gpus-per-trial", "1.5"), "at most one GPU, or as many as processes, got 1.5 GPUs"),
    ],
    ids=["batch normalisation", "batch", "GPUs"],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["start", "dry run"])
def test_what_several_processes_cannot_train_is_refused_in_a_line_before_anything_starts(
    tmp_path, monkeypatch, capsys, drawn, recipe, asked, said, more
):
    tiny = TinySweep.written(tmp_path / "here", tmp_path / "shared", recipe=recipe)
    monkeypatch.chdir(tiny.here)
    monkeypatch.setenv("DERMTUNE_CACHE", str(drawn.place.cache_dir))
    images = ("--data", str(drawn.place.data_dir))
    assert main(["question.py", "--recipe", "recipe.py", *images, *asked, *more]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert not list(tiny.here.glob("runs/*/trials"))


@pytest.mark.slow
def test_a_search_whose_trials_two_processes_train_ends_some_early_and_confirms_its_pick(tmp_path):
    recipe = SIGLIP.replace("epochs=4, batch_size=64", "epochs=3, batch_size=32, learning_rate=1e-2")
    sweep = TinySweep.written(tmp_path / "here", tmp_path / "shared", recipe=recipe, question=SEARCH)
    ended = sweep.run("--processes-per-trial", "2", "--cpus-per-trial", "2", seconds=900)
    assert ended.returncode == 0, ended.stdout
    assert verify([str(sweep.folder)]) == 0
    chosen = Selection.read(sweep.folder / "selection.json")
    assert len(chosen.picks) == 1
    assert "pruned" in {one.state for one in chosen.tried}
    manifests = sweep.trials().values()
    assert {manifest["processes"] for manifest in manifests} == {2}
    assert Counter(m["arm"] for m in manifests if m["seed"] in range(2)) == {"baseline": 2, "pick-1": 2}
