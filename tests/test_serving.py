"""A trained model leaves as plain files and comes back as it was, with its preprocessing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig
from dermtune.data.decoding import decode
from dermtune.model import build_model
from dermtune.pixels import pipeline_for
from dermtune.serving import load_classifier, save_classifier

CLASSES = ("acne", "eczema", "tinea")
RESNET = ModelConfig(
    architecture="resnet",
    settings={"embedding_size": 8, "hidden_sizes": [8], "depths": [1], "layer_type": "basic"},
    pixel_mean=(0.7, 0.5, 0.4),
    pixel_std=(0.1, 0.2, 0.3),
)
SIGLIP = ModelConfig(
    architecture="siglip",
    settings={
        "vision_config": {
            "image_size": 16,
            "patch_size": 8,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        }
    },
)


def config(model):
    data = DataConfig(image_size=16, fit="pad", interpolation="bicubic")
    return Config(data=data, model=model, training=TrainingConfig())


def trained(model, seed=3):
    torch.manual_seed(seed)
    return build_model(model, CLASSES).eval()


@pytest.mark.parametrize(
    "model", [RESNET, SIGLIP, replace(SIGLIP, pooling="map")], ids=["resnet", "siglip mean", "siglip map"]
)
def test_the_loaded_model_gives_the_logits_of_the_one_that_was_saved(tmp_path, model):
    saved = trained(model).to(memory_format=torch.channels_last)
    save_classifier(saved, config(model), CLASSES, tmp_path / "model")
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    pixels = pipeline_for(model, TrainingConfig(), seed=0).normalise(torch.from_numpy(images))
    with torch.inference_mode():
        expected = saved(pixel_values=pixels).logits.numpy()
    loaded = load_classifier(tmp_path / "model")
    assert loaded.classes == CLASSES
    np.testing.assert_allclose(loaded.logits(images), expected, rtol=1e-5, atol=1e-6)


def test_nothing_is_pickled_and_a_second_save_leaves_the_same_files(tmp_path):
    for _ in range(2):
        save_classifier(trained(RESNET), config(RESNET), CLASSES, tmp_path / "model")
        names = {path.name for path in (tmp_path / "model").iterdir()}
        assert names == {"config.json", "model.safetensors", "preprocessing.json"}


def test_a_file_s_bytes_become_the_pixels_that_training_saw_and_probabilities_that_sum_to_one(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    photograph = tmp_path / "photograph.png"
    Image.fromarray(pixels).save(photograph)
    save_classifier(trained(RESNET), config(RESNET), CLASSES, tmp_path / "model")
    classifier = load_classifier(tmp_path / "model")
    table = classifier.predict(pd.DataFrame({"image": [photograph.read_bytes()] * 2}))
    seen = classifier.logits(np.stack([decode(photograph, config(RESNET).data)]))
    assert list(table.columns) == list(CLASSES)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    np.testing.assert_allclose(np.log(table.iloc[0]) - np.log(table.iloc[0, 0]), seen[0] - seen[0, 0], atol=1e-5)


def test_a_folder_of_a_later_format_is_refused(tmp_path):
    save_classifier(trained(RESNET), config(RESNET), CLASSES, tmp_path)
    file = tmp_path / "preprocessing.json"
    file.write_text(file.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ValueError, match=r"preprocessing\.json must be of format 1, got 2"):
        load_classifier(tmp_path)
