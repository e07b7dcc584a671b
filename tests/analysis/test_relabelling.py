"""Corrected labels, in a world whose true ones are known: one arm has learned the wrong ones, one the true."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score

from analysis import significance
from analysis.comparison import compare
from analysis.relabelling import read_labels
from analysis.sources import load, load_study
from analysis.study import SourceError

CLASSES = ("eczema", "psoriasis", "tinea")
SIZES = (200, 120, 40)
TRUE = np.repeat(np.arange(3), SIZES)
IDS = np.array([f"img{j:03d}" for j in range(len(TRUE))])
SEEDS = range(4)


def wrong_labels(share=0.15):
    rng = np.random.default_rng(1)
    given = TRUE.copy()
    wrong = rng.choice(len(TRUE), round(share * len(TRUE)), replace=False)
    given[wrong] = (given[wrong] + rng.integers(1, 3, len(wrong))) % 3
    return given


GIVEN = wrong_labels()


def said_by(arm, seed):
    """Both arms see the true class at times; `parrot` repeats the label as given instead, `seer` sees better."""
    rng = np.random.default_rng([seed, len(arm)])
    seen = np.where(rng.random(len(TRUE)) < (0.85 if arm == "seer" else 0.7), TRUE, rng.integers(0, 3, len(TRUE)))
    if arm == "parrot":
        seen = np.where((rng.random(len(TRUE)) < 0.9) & (GIVEN != TRUE), GIVEN, seen)
    return 0.8 * np.eye(3)[seen] + 0.2 / 3


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Writes an index of the arms' predictions with these labels and groups."""

    def run(label, group=None):
        folder = tmp_path_factory.mktemp("predictions")
        rows = []
        for arm in ("baseline", "parrot", "seer"):
            for seed in SEEDS:
                table = pd.DataFrame(said_by(arm, seed), columns=[f"prob_{name}" for name in CLASSES])
                table.insert(0, "sample_id", IDS)
                table.insert(1, "label", [CLASSES[k] for k in label])
                table.insert(2, "group_id", IDS if group is None else group)
                table.sample(frac=1, random_state=seed).to_parquet(folder / f"{arm}-{seed}.parquet")
                rows.append({"arm": arm, "seed": seed, "path": f"{arm}-{seed}.parquet"})
        pd.DataFrame(rows).to_csv(folder / "index.csv", index=False)
        return folder / "index.csv"

    return run


@pytest.fixture(scope="module")
def index(write):
    """Predictions whose labels are wrong of 15% of the images."""
    return write(GIVEN)


@pytest.fixture
def labels(tmp_path):
    """Writes a label file from columns."""

    def run(**columns):
        path = tmp_path / "labels.csv"
        pd.DataFrame(columns).to_csv(path, index=False)
        return path

    return run


@pytest.fixture
def cleaned(labels):
    return labels(sample_id=IDS, label=[CLASSES[k] for k in TRUE])


def judged(index, labels=None, **options):
    return compare(load_study(index, labels=labels), n_resamples=500, **options)


def verdicts(report):
    return {comparison.arm: comparison.verdict for comparison in report.comparisons}


def recall_deltas(label):
    """Recall of each class, parrot minus baseline, mean over seeds."""
    recalls = {
        arm: np.mean([recall_score(label, said_by(arm, s).argmax(axis=1), average=None) for s in SEEDS], axis=0)
        for arm in ("baseline", "parrot")
    }
    return recalls["parrot"] - recalls["baseline"]


def weights(rows):
    return dict(zip((f"prob_{name}" for name in CLASSES), map(list, zip(*rows, strict=True)), strict=True))


def test_wrong_labels_keep_the_arm_that_learned_them_and_corrected_ones_turn_that(index, cleaned):
    assert verdicts(judged(index)) == {"parrot": "keep", "seer": "keep"}
    assert verdicts(judged(index, cleaned)) == {"parrot": "reject", "seer": "keep"}


def test_all_is_judged_as_if_the_files_had_had_the_true_labels(index, cleaned, write):
    found, truth = judged(index, cleaned), judged(write(TRUE))
    assert found.comparisons == truth.comparisons
    assert found.arms == truth.arms
    assert found.noise == truth.noise


def test_what_turned_is_told_from_both_reports_own_numbers(index, cleaned):
    before, after = judged(index), judged(index, cleaned)
    told = {arm.arm: arm for arm in after.relabelled.arms}
    for was, now in zip(before.comparisons, after.comparisons, strict=True):
        assert told[now.arm].given.delta == was.delta
        assert told[now.arm].given.ci_low == was.ci_low_simultaneous
        assert told[now.arm].corrected.ci_high == now.ci_high_simultaneous
    assert [arm.arm for arm in told.values() if arm.turned] == ["parrot"]
    parrot, moved = told["parrot"], told["parrot"].corrected.delta - told["parrot"].given.delta
    assert "by the labels as given keep" in parrot.sentence
    assert f"the delta moved by −{-100 * moved:.1f} pt" in parrot.sentence
    added = (recall_deltas(TRUE) - recall_deltas(GIVEN)) / 3
    largest = f"the largest part in {CLASSES[added.argmin()]} (−{-100 * added.min():.1f} pt)"
    assert largest in parrot.sentence
    assert after.label_noise is None  # nothing is guessed of labels that were looked at


def test_changed_images_are_counted_by_pair_of_classes(index, cleaned):
    found = judged(index, cleaned).relabelled
    pairs = pd.crosstab(GIVEN, TRUE)
    assert found.n_changed == (GIVEN != TRUE).sum()
    assert {(m.given, m.corrected): m.n_images for m in found.moves} == {
        (CLASSES[k], CLASSES[j]): pairs.loc[k, j] for k in range(3) for j in range(3) if k != j
    }
    assert [(size.given, size.corrected) for size in found.classes] == [
        *zip(np.bincount(GIVEN).tolist(), SIZES, strict=True)
    ]


def test_images_that_the_file_does_not_name_keep_their_label_and_are_counted(index, labels):
    found = load_study(index, labels=labels(sample_id=IDS[:50], label=[CLASSES[k] for k in TRUE[:50]]))
    np.testing.assert_array_equal(found.label, np.concatenate([TRUE[:50], GIVEN[50:]]))
    assert found.corrected.file.n_kept == len(IDS) - 50
    assert f"{len(IDS) - 50} that it does not name keep theirs" in found.problems[0]


def test_of_a_distribution_the_largest_weight_counts_and_among_equals_the_given_label_then_the_first_class(
    index, labels
):
    rows = {
        "largest": (0.2, 0.5, 0.3),
        "tied with the given one": (2.0, 2.0, 2.0),
        "tied without it": (3.0, 0.0, 3.0),
    }
    psoriasis = IDS[GIVEN == 1][:3]  # given as the second class
    found = load_study(index, labels=labels(sample_id=psoriasis, **weights(rows.values())))
    assert [CLASSES[k] for k in found.label[np.isin(IDS, psoriasis)]] == ["psoriasis", "psoriasis", "eczema"]
    assert (found.corrected.file.n_tied, found.corrected.file.n_unsure) == (2, 3)


def test_a_third_written_in_two_ways_is_a_tie(index, labels):
    file = labels(sample_id=IDS[:1], **weights([(0.1 + 0.2, 0.3, 0.0)]))
    assert read_labels(file).weights[0, 0] != read_labels(file).weights[0, 1]
    assert load_study(index, labels=file).corrected.file.n_tied == 1


def test_parquet_serves_as_well_as_csv_and_needs_no_class_that_no_image_has(index, tmp_path):
    path = tmp_path / "labels.parquet"
    pd.DataFrame({"sample_id": IDS, "prob_tinea": 1, "prob_eczema": 0.5}).to_parquet(path)
    study = load_study(index, labels=path)
    assert set(study.label.tolist()) == {2}
    assert "2 classes have no test image" in study.problems[-1]


def test_a_lesion_whose_images_get_different_labels_is_drawn_whole_and_that_is_said(write, labels):
    pairs = np.array([f"lesion{j // 2:03d}" for j in range(len(IDS))])
    index = write(TRUE, pairs)
    one = labels(sample_id=IDS[:1], label=["tinea"])
    found, before = judged(index, one), judged(index)
    said = "1 group spans classes: whole groups are drawn, without strata"
    assert all(said in comparison.notes for comparison in found.comparisons)
    assert not any(said in comparison.notes for comparison in before.comparisons)
    for was, now in zip(before.comparisons, found.comparisons, strict=True):
        assert now.se == pytest.approx(was.se, rel=0.1)  # one image of 360 moved


def test_a_quick_report_is_by_the_corrected_labels_and_compares_nothing(index, cleaned):
    report = compare(load_study(index, labels=cleaned, quick=True), n_resamples=500, quick=True)
    assert verdicts(report) == {"parrot": "reject", "seer": "keep"}
    assert report.relabelled is None


def test_a_class_that_only_the_corrected_labels_have_leaves_nothing_to_compare_with(write, cleaned):
    index = write(np.where(TRUE == 2, 0, TRUE))
    report = judged(index, cleaned, metric="recall:tinea")
    assert report.comparisons
    assert report.relabelled.arms == ()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"sample_id": ["img000", "x9"], "label": ["tinea"] * 2}, "must be one of the test images.*row 2 .'x9'"),
        ({"sample_id": ["img000"], "label": ["lupus"]}, "must be a class of the predictions.*got 'lupus'"),
        ({"sample_id": ["img000"] * 2, "label": ["tinea"] * 2}, "sample_id must be unique"),
        ({"sample_id": ["img000"], "label": [""]}, "label must not be empty"),
        ({"sample_id": [], "label": []}, "at least one image"),
        ({"image": ["img000"], "label": ["tinea"]}, "must have the columns sample_id and label"),
        ({"sample_id": ["img000"], "label": ["tinea"], "prob_tinea": [1]}, "must have the columns"),
        ({"sample_id": ["img000"], "prob_tinea": [-1], "prob_eczema": [2]}, "weights must be >= 0"),
        ({"sample_id": ["img000"], "prob_tinea": [0], "prob_eczema": [0]}, "a weight above 0"),
        ({"sample_id": ["img000"], "prob_tinea": ["much"]}, "must be finite numbers"),
        ({"sample_id": ["img000"], "prob_lupus": [1]}, "must be a class of the predictions"),
    ],
)
def test_a_label_file_that_does_not_fit_is_refused_in_a_line(index, labels, columns, said):
    with pytest.raises(SourceError, match=said) as refused:
        load_study(index, labels=labels(**columns))
    assert "labels.csv" in str(refused.value)


def test_scores_alone_cannot_be_scored_again(tmp_path, cleaned):
    path = tmp_path / "scores.csv"
    path.write_text("arm,seed,top1\nbaseline,0,.7\nfocal,0,.72\n")
    with pytest.raises(SourceError, match="scores alone"):
        load(path, labels=cleaned)


def test_a_label_file_that_is_not_there_is_named(index, tmp_path):
    with pytest.raises(SourceError, match=r"gone\.csv"):
        load_study(index, labels=tmp_path / "gone.csv")


def test_the_door_takes_the_file_and_tells_what_turned(index, cleaned, tmp_path, capsys):
    written = tmp_path / "report.json"
    asked = [str(index), "--labels", str(cleaned), "--resamples", "500", "--json", str(written)]
    assert significance.main([*asked, "--require", "parrot:reject"]) == 0
    assert "labels are corrected by labels.csv: 54 of 360 test images changed" in capsys.readouterr().out
    found = json.loads(written.read_text())
    assert [arm["corrected"]["verdict"] for arm in found["relabelled"]["arms"]] == ["reject", "keep"]
    assert found["label_noise"] is None


def test_the_door_refuses_a_file_that_does_not_fit_in_one_line(index, labels, capsys):
    assert significance.main([str(index), "--labels", str(labels(sample_id=["x9"], label=["tinea"]))]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_labels_that_change_nothing_leave_every_verdict_as_it_stands(index, labels):
    found = judged(index, labels(sample_id=IDS, label=[CLASSES[k] for k in GIVEN]))
    assert found.comparisons == judged(index).comparisons
    assert found.relabelled.n_changed == 0
    assert not any(arm.changed for arm in found.relabelled.arms)
    assert all("the delta stays" in arm.sentence for arm in found.relabelled.arms)
