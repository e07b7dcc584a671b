"""The drawn set: a long tail, a sink, labels that are partly wrong, and the truth beside them."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score

from dermtune.config import DataConfig, SyntheticConfig
from dermtune.data.dataset import open_dataset
from dermtune.data.manifest import DataError
from dermtune.data.place import Place
from dermtune.data.synthetic import CLASSES, IMBALANCE, LOOK_ALIKES, class_counts, lesion_table

SMALL = DataConfig(
    image_suffix=".png",
    group_column="lesion_id",
    image_size=16,
    synthetic=SyntheticConfig(n_train=1200, n_test=400, image_size=16),
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A small set, drawn once."""
    folder = tmp_path_factory.mktemp("synthetic")
    place = Place(data_dir=folder / "data", cache_dir=folder / "cache")
    open_dataset(SMALL, place)
    return place


@pytest.fixture
def metadata(drawn):
    return pd.read_csv(drawn.data_dir / "metadata.csv")


@pytest.fixture(params=range(5))
def laptop_test_lesions(request):
    """The laptop recipe's test split, for several seeds."""
    return lesion_table(SyntheticConfig().n_test, 0.12, np.random.default_rng(request.param))


def with_seed(seed, n=200):
    synthetic = SyntheticConfig(n_train=n, n_test=100, image_size=16, seed=seed)
    return DataConfig(image_suffix=".png", group_column="lesion_id", image_size=16, synthetic=synthetic)


def test_the_seed_alone_decides_the_set(tmp_path):
    def drawn_in(folder, seed):
        place = Place(data_dir=tmp_path / folder / "data", cache_dir=tmp_path / folder / "cache")
        return open_dataset(with_seed(seed), place).fingerprint

    assert drawn_in("one", 0) == drawn_in("other", 0)
    assert drawn_in("one-more", 1) != drawn_in("another", 0)


def test_the_tail_is_as_long_as_promised():
    counts = class_counts(SyntheticConfig().n_train)
    assert counts.sum() == SyntheticConfig().n_train
    assert counts[0] / counts[-1] == pytest.approx(IMBALANCE, rel=0.05)
    steps = counts[:-1] / counts[1:]
    np.testing.assert_allclose(steps, IMBALANCE ** (1 / (len(CLASSES) - 1)), rtol=0.05)


def test_every_class_has_ten_labelled_test_images(laptop_test_lesions):
    labelled = np.bincount(laptop_test_lesions.label, laptop_test_lesions.photographs, minlength=len(CLASSES))
    assert labelled.min() >= 10
    assert labelled.sum() == SyntheticConfig().n_test


def test_seven_to_sixteen_in_a_hundred_test_labels_are_wrong_and_mostly_a_look_alikes(laptop_test_lesions):
    lesions, names = laptop_test_lesions, list(CLASSES)
    wrong = lesions.label != lesions.true_label
    assert 0.07 <= np.average(wrong, weights=lesions.photographs) <= 0.16
    pairs = [{names[a], names[b]} for a, b in zip(lesions.true_label[wrong], lesions.label[wrong], strict=True)]
    alike = [any(pair <= family for family in LOOK_ALIKES) for pair in pairs]
    assert np.mean(alike) > 0.75


def test_eczema_is_the_centre_of_the_look_alikes():
    partners = {name: set().union(*(f for f in LOOK_ALIKES if name in f)) - {name} for name in CLASSES}
    assert len(partners["eczema"]) >= 5
    assert all(partners.values()), "a class without a look-alike could not be mislabelled as one"


def test_all_photographs_of_a_lesion_carry_one_label_and_stand_in_one_split(metadata):
    lesions = metadata.groupby("lesion_id")
    assert (lesions[["label", "true_label", "split"]].nunique() == 1).all(axis=None)
    assert set(lesions.size()) == {1, 2, 3}


def test_the_cleaned_labels_are_the_truth_about_test(drawn, metadata):
    cleaned = pd.read_csv(drawn.data_dir / "cleaned_labels.csv")
    test = metadata[metadata["split"] == "test"]
    assert cleaned["sample_id"].tolist() == test["image_id"].tolist()
    assert cleaned["label"].tolist() == test["true_label"].tolist()
    assert (cleaned["label"].to_numpy() != test["label"].to_numpy()).any()


def test_photographs_of_a_lesion_resemble_each_other_more_than_others_of_its_class(drawn):
    split = open_dataset(SMALL, drawn).train
    colour = split.images[np.arange(len(split))].reshape(len(split), -1, 3).mean(axis=1)
    same, other = [], []
    for a, b in itertools.combinations(range(400), 2):
        if split.label[a] == split.label[b]:
            (same if split.group_id[a] == split.group_id[b] else other).append(math.dist(colour[a], colour[b]))
    assert np.mean(same) < 0.6 * np.mean(other)


def test_a_forest_on_pixels_learns_the_set_but_pours_look_alikes_into_eczema(drawn):
    data = open_dataset(SMALL, drawn)
    pixels = {name: flat(getattr(data, name)) for name in ("train", "test")}
    forest = RandomForestClassifier(100, random_state=0).fit(pixels["train"], data.train.label)
    predicted, label = forest.predict(pixels["test"]), data.test.label
    chance, eczema = 1 / len(data.classes), data.classes.index("eczema")
    assert 2.5 * chance < balanced_accuracy_score(label, predicted) < 0.8
    assert (predicted == eczema).sum() > 1.15 * (label == eczema).sum()
    rare = np.isin(label, [data.classes.index(name) for name in ("rosacea", "tinea", "herpes")])
    assert np.mean(predicted[rare] == eczema) > 0.25


def flat(split):
    return split.images[np.arange(len(split))].reshape(len(split), -1)


def test_a_set_drawn_with_another_seed_does_not_pass_for_this_one(tmp_path):
    place = Place(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    open_dataset(with_seed(0), place)
    with pytest.raises(DataError, match=r"must hold the synthetic set .*'seed': 1.* got .*'seed': 0"):
        open_dataset(with_seed(1), place)


def test_data_of_the_users_own_are_never_drawn_over(rows, write_folder):
    place = write_folder(rows)
    before = sorted(place.data_dir.rglob("*"))
    assert open_dataset(with_seed(0), place).classes == ("acne", "eczema")
    assert sorted(place.data_dir.rglob("*")) == before


def test_a_folder_with_other_things_in_it_is_refused(tmp_path):
    place = Place(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    place.data_dir.mkdir()
    (place.data_dir / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"must hold metadata.csv, or be empty"):
        open_dataset(with_seed(0), place)


def test_a_drawing_that_is_interrupted_leaves_no_folder(tmp_path):
    place = Place(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")

    def interrupt(what, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_dataset(with_seed(0), place, interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_the_folder_says_what_was_drawn(drawn):
    assert SyntheticConfig(**json.loads((drawn.data_dir / "synthetic.json").read_text())) == SMALL.synthetic
