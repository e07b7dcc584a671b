"""Each recipe describes a model that can be built and a training that fits it."""

import pytest
import torch

from dermtune.model import build_model
from dermtune.recipes import RECIPES, Recipe

CLASSES = ("acne", "eczema", "tinea")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_goes_by_its_name_and_says_what_to_know_before_the_first_run(name):
    recipe = RECIPES[name]()
    assert isinstance(recipe, Recipe)
    assert recipe.name == name
    assert recipe.note
    assert recipe == RECIPES[name]()


@pytest.mark.parametrize("name", ["laptop", "ham10000"])
def test_a_small_recipes_model_reads_images_of_the_size_that_its_data_have(name):
    config = RECIPES[name]().config
    model = build_model(config.model, CLASSES).eval()
    images = torch.zeros(2, 3, config.data.image_size, config.data.image_size)
    assert model(pixel_values=images).logits.shape == (2, len(CLASSES))


@pytest.mark.parametrize(("name", "at_most"), [("laptop", 100_000), ("ham10000", 400_000)])
def test_a_recipe_for_a_cpu_has_a_model_that_a_cpu_can_train(name, at_most):
    model = build_model(RECIPES[name]().config.model, CLASSES)
    assert sum(p.numel() for p in model.parameters()) < at_most


def test_the_laptop_recipe_needs_no_data_and_no_other_draws_any():
    assert RECIPES["laptop"]().config.data.synthetic is not None
    assert RECIPES["laptop"]().data_dir is not None
    assert all(RECIPES[name]().config.data.synthetic is None for name in RECIPES if name != "laptop")


@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_lets_a_lesion_or_case_fall_into_two_splits(name):
    assert RECIPES[name]().config.data.group_column in ("lesion_id", "case_id")


def test_medsiglip_is_fine_tuned_with_the_budget_of_googles_notebook_on_one_gpu():
    recipe = RECIPES["medsiglip"]()
    training = recipe.config.training
    assert recipe.config.model.checkpoint == "google/medsiglip-448"
    assert (training.epochs, training.batch_size, training.accumulation) == (3, 8, 8)
    assert (training.learning_rate, training.weight_decay, training.schedule) == (5e-5, 0.01, "cosine")
    assert recipe.config.data.image_size == 448
    assert recipe.resources.gpus == 1
    assert recipe.resources.micro_batch == "auto"  # a step's 64 images at once where a GPU has room for them
