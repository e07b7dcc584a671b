"""Kept features: what the head takes, under a key of all that makes them, whole or not at all, built once."""

import contextlib
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dermtune.config import ModelConfig, UserError
from dermtune.data.place import Place
from dermtune.frozen import features as of_frozen
from dermtune.frozen.backbone import starting_model
from dermtune.frozen.features import MIRRORED, ORIGINAL, FeatureCache, View, feature_key
from dermtune.pixels import pipeline_for

ROOT = Path(__file__).parents[1]

ELSEWHERE = """
import pickle, sys
from dermtune.data.dataset import open_dataset
from dermtune.frozen.features import FeatureCache

trial, place, cache = pickle.load(sys.stdin.buffer)
data = open_dataset(trial.config.data, place)
said = []
FeatureCache(trial, data, cache, 1).features(lambda what, done, total: said.append(done))
print(len(said))
"""


@pytest.fixture
def place(drawn, tmp_path):
    """A cache folder of its own, over the drawn images."""
    return Place(data_dir=drawn.place.data_dir, cache_dir=tmp_path / "cache")


@pytest.fixture
def trial(make_trial):
    return make_trial("resnet", levers={"tuning": "head"}, vflip=True, eval_batch_size=64)


def built(trial, drawn, place):
    """The features, and what was said while they were computed."""
    said = []
    cache = FeatureCache(trial, drawn.data, place, 1)
    return cache.features(lambda what, done, total: said.append((what, done, total))), said


def test_the_head_makes_the_models_logits_of_them_in_every_view(drawn, place, trial):
    features, _ = built(trial, drawn, place)
    torch.manual_seed(trial.seed)
    model = starting_model(trial.config, drawn.data.classes).eval()
    layer = model.classifier[-1]
    pixels = pipeline_for(trial.config.model, trial.config.training, 0)
    images = drawn.data.train.images[np.arange(5)]
    for view, flipped in {
        ORIGINAL: images, MIRRORED: images[:, :, ::-1], View(vflip=True): images[:, ::-1],
        View(hflip=True, vflip=True): images[:, ::-1, ::-1],
    }.items():  # fmt: skip
        with torch.no_grad():
            logits = model(pixels.normalise(torch.from_numpy(flipped.copy()))).logits
            ours = layer(torch.from_numpy(features.train[view][:5]))
        torch.testing.assert_close(ours, logits, rtol=1e-5, atol=1e-6)


def test_they_are_computed_once_and_only_in_the_views_that_are_asked_for(drawn, place, trial):
    plain = replace(trial, config=trial.config.with_levers({"vflip": False}))
    assert {view.name for view in built(plain, drawn, place)[0].train} == {"original", "hflip"}
    features, said = built(trial, drawn, place)
    n = len(drawn.data.train)
    assert {view.name for view in features.train} == {"original", "hflip", "vflip", "both"}
    assert {view.name for view in features.test} == {"original", "hflip"}
    assert said[-1] == ("computing features", 2 * n, 2 * n)  # the other two are there
    assert built(trial, drawn, place)[1] == []


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 16},
        {"learning_rate": 0.5},
        {"focal_gamma": 2.0},
        {"ldam": 0.5},
        {"epochs": 9},
    ],
    ids=lambda change: next(iter(change)),
)
def test_levers_that_leave_the_backbone_alone_share_them(drawn, trial, change):
    assert key(drawn, replace(trial, config=trial.config.with_levers(change))) == key(drawn, trial)


CHANGES = {
    "image_size": ("data", {"image_size": 24}),
    "fit": ("data", {"fit": "pad"}),
    "interpolation": ("data", {"interpolation": "bicubic"}),
    "pixel_mean": ("model", {"pixel_mean": (0.4, 0.5, 0.5)}),
    "pixel_std": ("model", {"pixel_std": (0.4, 0.5, 0.5)}),
    "settings": ("model", {"settings": {"hidden_sizes": [8], "depths": [1]}}),
    "precision": ("training", {"precision": "bfloat16"}),
    "channels_last": ("training", {"channels_last": True}),
    "eval_batch_size": ("training", {"eval_batch_size": 8}),
}


@pytest.mark.parametrize(("part", "change"), CHANGES.values(), ids=CHANGES.keys())
def test_their_key_changes_with_every_setting_that_makes_them(drawn, trial, part, change):
    config = replace(trial.config, **{part: replace(getattr(trial.config, part), **change)})
    assert key(drawn, replace(trial, config=config)) != key(drawn, trial)


def test_their_key_changes_with_the_data_the_split_the_seed_of_fresh_weights_threads_and_versions(
    drawn, trial, monkeypatch
):
    keys = {key(drawn, trial), key(drawn, replace(trial, seed=1)), key(drawn, trial, threads=2)}
    for data in (
        replace(drawn.data, fingerprint="other"),
        replace(drawn.data, val=drawn.data.test, test=drawn.data.val),
        replace(drawn.data, classes=(*drawn.data.classes[:-1], "other")),
    ):
        keys.add(feature_key(trial.config, 0, data, trial.fingerprints, 1))
    monkeypatch.setattr(of_frozen, "device_name", lambda: "another")
    keys.add(key(drawn, trial))
    monkeypatch.setattr(of_frozen, "origin", lambda: {"versions": {"torch": "0", "transformers": "0"}})
    keys.add(key(drawn, trial))
    assert len(keys) == 8


def test_a_checkpoint_is_known_by_its_weights_and_not_by_the_seed(drawn, make_trial, siglip_checkpoint):
    trial = make_trial(ModelConfig(checkpoint=str(siglip_checkpoint)), levers={"tuning": "head"})
    one = feature_key(trial.config, 0, drawn.data, {"checkpoint": "a"}, 1)
    assert feature_key(trial.config, 1, drawn.data, {"checkpoint": "a"}, 1) == one
    assert feature_key(trial.config, 0, drawn.data, {"checkpoint": "b"}, 1) != one


def key(drawn, trial, threads: int = 1) -> str:
    return feature_key(trial.config, trial.seed, drawn.data, trial.fingerprints, threads)


def test_a_file_that_was_cut_short_is_built_anew_and_so_is_a_head(drawn, place, trial):
    cache = FeatureCache(trial, drawn.data, place, 1)
    before, head = np.array(built(trial, drawn, place)[0].test[MIRRORED]), cache.starting_head(0)
    (of_features,) = place.cache_dir.glob("features-*-test-hflip.npy")
    (of_head,) = place.cache_dir.glob("head-*.safetensors")
    for path in (of_features, of_head):
        path.write_bytes(path.read_bytes()[:-100])
    features, said = built(trial, drawn, place)
    assert np.array_equal(features.test[MIRRORED], before)
    assert said[-1][2] == len(drawn.data.test)
    assert torch.equal(cache.starting_head(0).weight, head.weight)


def test_two_processes_that_start_at_once_build_them_once(drawn, place, trial, tmp_path):
    (tmp_path / "given").write_bytes(pickle.dumps((trial, drawn.place, place)))
    with contextlib.ExitStack() as open_files:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", ELSEWHERE],
                stdin=open_files.enter_context((tmp_path / "given").open("rb")),
                stdout=subprocess.PIPE,
                cwd=ROOT,
            )
            for _ in range(2)
        ]
        said = [int(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert min(said) == 0 < max(said)
    assert not list(place.cache_dir.glob(".*partial"))


def test_features_that_cannot_be_kept_say_where_and_what_to_do(drawn, trial, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="DERMTUNE_CACHE names another"):
        built(trial, drawn, Place(data_dir=drawn.place.data_dir, cache_dir=tmp_path / "file"))
