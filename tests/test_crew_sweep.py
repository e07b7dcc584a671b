"""A sweep whose trials are each trained by two processes, through the door."""

import numpy as np
import pytest

from dermtune.sweep import main
from dermtune.verify import main as verify
from tests.crew_sweep import SIGLIP, TOGETHER
from tests.tiny_sweep import RECIPE, TinySweep


def test_a_sweep_of_two_processes_a_trial_is_sound_and_ends_where_one_of_one_process_does(tmp_path):
    shared = tmp_path / "shared"
    one, two = (TinySweep.written(tmp_path / name, shared, recipe=SIGLIP) for name in ("one", "two"))
    ended = two.run(*TOGETHER)
    assert ended.returncode == 0, ended.stdout
    assert {manifest["processes"] for manifest in two.trials().values()} == {2}
    assert {manifest["threads"] for manifest in two.trials().values()} == {1}
    assert verify([str(two.folder)]) == 0
    assert not list(two.folder.glob("trials/*/checkpoint"))
    assert one.run("--seeds", "1").returncode == 0
    assert one.trials().keys() == two.trials().keys()
    of_two = two.logits()
    for which, rows in one.logits().items():
        assert [row["sample_id"] for row in of_two[which]] == [row["sample_id"] for row in rows]
        expected = [row["logits"] for row in rows]
        np.testing.assert_allclose([row["logits"] for row in of_two[which]], expected, atol=1e-4)


RESNET = RECIPE.replace("epochs=4", "epochs=1")


@pytest.mark.parametrize(
    ("recipe", "asked", "said"),
    [
        (RESNET, ("--processes-per-trial", "2"), "without batch normalisation"),
        (SIGLIP, ("--processes-per-trial", "3"), "`batch_size` must be divisible by 3"),
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
