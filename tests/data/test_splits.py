"""The val cut: whole groups, every class in its share, the same for everyone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermtune.data.dataset import open_dataset
from dermtune.data.manifest import DataError, read_manifest
from dermtune.data.splits import cut_val, refuse_shared_groups, with_val

fractions = st.sampled_from([0.05, 0.15, 0.3, 0.5, 0.8])
seeds = st.integers(0, 3)


@st.composite
def pure_groups(draw):
    """Labels and groups, [N] each, where every group is of one class; sizes 1 to 6."""
    sizes = draw(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=30), min_size=1, max_size=5))
    classes = [k for k, of_class in enumerate(sizes) for _ in of_class]
    flat = [size for of_class in sizes for size in of_class]
    return np.repeat(classes, flat), np.repeat([f"g{i}" for i in range(len(flat))], flat)


@st.composite
def mixed_groups(draw):
    """Labels and groups, [N] each, where a group may show several classes."""
    pairs = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 20)), min_size=1, max_size=100))
    return np.array([k for k, _ in pairs]), np.array([f"g{g}" for _, g in pairs])


def cut(data, fraction, seed):
    return cut_val(*data, fraction, np.random.default_rng(seed))


@given(st.one_of(pure_groups(), mixed_groups()), fractions, seeds)
def test_no_group_is_cut_in_two_and_train_keeps_every_class(data, fraction, seed):
    label, group = data
    val = cut(data, fraction, seed)
    assert not set(group[val]) & set(group[~val])
    assert set(label[~val]) == set(label)


@given(pure_groups(), fractions, seeds)
def test_each_class_misses_its_share_by_at_most_its_largest_group(data, fraction, seed):
    label, group = data
    val = cut(data, fraction, seed)
    for k in np.unique(label):
        of_class = label == k
        largest = np.unique(group[of_class], return_counts=True)[1].max()
        if len(np.unique(group[of_class])) > 1:
            assert abs(val[of_class].sum() - fraction * of_class.sum()) <= largest


@given(pure_groups(), fractions, seeds)
def test_each_class_with_two_groups_has_one_on_each_side(data, fraction, seed):
    label, group = data
    val = cut(data, fraction, seed)
    for k in np.unique(label):
        n_groups, n_val = len(np.unique(group[label == k])), len(np.unique(group[(label == k) & val]))
        assert (0 < n_val < n_groups) if n_groups > 1 else n_val == 0


@given(st.one_of(pure_groups(), mixed_groups()), fractions, seeds)
def test_the_cut_depends_on_the_seed_and_not_on_the_order_of_rows(data, fraction, seed):
    label, group = data
    order = np.random.default_rng(7).permutation(len(label))
    shuffled = cut((label[order], group[order]), fraction, seed)
    np.testing.assert_array_equal(cut(data, fraction, seed)[order], shuffled)


def test_another_seed_cuts_another_val():
    data = np.repeat([0, 1], 50), np.array([f"g{i}" for i in range(100)])
    assert (cut(data, 0.2, 0) != cut(data, 0.2, 1)).any()


def test_where_groups_span_classes_the_shares_are_at_most_half_as_far_off_as_by_chance():
    by_chance, ours = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        group = rng.integers(0, 300, 1000)
        label = rng.choice(4, 1000, p=[0.6, 0.25, 0.1, 0.05])
        by_chance.append(unevenness(label, (rng.random(300) < 0.2)[group]))
        ours.append(unevenness(label, cut((label, group.astype(str)), 0.2, seed)))
    assert np.mean(ours) < np.mean(by_chance) / 2


def unevenness(label, val):
    """Mean distance over classes of a class's share in val from a fifth."""
    return np.mean([abs(val[label == k].mean() - 0.2) for k in np.unique(label)])


def test_groups_in_two_splits_are_listed(config, rows, write_folder):
    rows[1]["split"] = "test"
    rows[6]["split"] = "val"
    manifest = read_manifest(config, write_folder(rows).data_dir)
    listed = r"in one split only; 2 stand in two: train0 \(test and train\), train3 \(train and val\)"
    with pytest.raises(DataError, match=listed):
        refuse_shared_groups(manifest)


def test_a_val_split_in_the_metadata_is_taken_as_it_is(config, rows, write_folder):
    for row in rows[:4]:
        row["split"] = "val"
    dataset = open_dataset(config, write_folder(rows))
    assert dataset.val.sample_id.tolist() == ["train0a", "train0b", "train1a", "train1b"]


def test_train_without_a_second_group_in_any_class_is_refused(config, rows, write_folder):
    few = [row for row in rows if row["split"] == "test" or row["lesion_id"] in ("train0", "train1")]
    manifest = read_manifest(config, write_folder(few).data_dir)
    with pytest.raises(DataError, match="must have two groups in train"):
        with_val(manifest, 0.15, 0)


def test_train_val_and_test_share_no_lesion_and_lose_no_image(config, rows, write_folder):
    dataset = open_dataset(config, write_folder(rows))
    splits = (dataset.train, dataset.val, dataset.test)
    groups = pd.Series(np.concatenate([np.unique(split.group_id) for split in splits]))
    assert groups.is_unique
    assert sum(map(len, splits)) == len(rows)
