"""An index whose column `val` names each run's predictions on the validation set."""

import numpy as np
import pandas as pd
import pytest

from analysis.sources import load_study
from analysis.split import Split
from analysis.study import SourceError
from analysis.treatments import fitted_temperature

CLASSES = ("nevus", "melanoma", "NA")


def table(n, *, start=0, order=CLASSES, rng_seed=0):
    """Predictions of n images, numbered from `start`, with a column a class in this order."""
    rng = np.random.default_rng(rng_seed)
    label = np.arange(n) % 3
    logits = 3 * (np.eye(3)[label] + rng.normal(size=(n, 3)))
    columns = {f"logit_{name}": logits[:, CLASSES.index(name)] for name in order}
    ids = [f"img{start + j:03d}" for j in range(n)]
    return pd.DataFrame({"sample_id": ids, "label": [CLASSES[k] for k in label], **columns}), label, logits


@pytest.fixture
def index(tmp_path):
    for place, arm in enumerate(("baseline", "focal")):
        table(30, rng_seed=place)[0].to_csv(tmp_path / f"{arm}.csv", index=False)
        table(60, start=100, rng_seed=10 + place)[0].to_csv(tmp_path / f"{arm}-val.csv", index=False)
    path = tmp_path / "index.csv"
    path.write_text(
        "arm,seed,path,val\nbaseline,0,baseline.csv,baseline-val.csv\nfocal,0,focal.csv,focal-val.csv\n"
    )
    return path


def temperatures(path):
    return [arm.runs[0].posthoc.fitted["temperature"] for arm in load_study(path).arms]


def test_temperatures_are_chosen_on_the_tables_that_val_names(index):
    splits = [
        Split(label=label, logits=z) for _, label, z in (table(60, start=100, rng_seed=10 + i) for i in (0, 1))
    ]
    assert temperatures(index) == pytest.approx([fitted_temperature(split) for split in splits], rel=1e-4)


def test_the_order_of_vals_classes_does_not_matter(index):
    before = temperatures(index)
    table(60, start=100, order=CLASSES[::-1], rng_seed=10)[0].to_csv(index.parent / "baseline-val.csv", index=False)
    assert temperatures(index) == pytest.approx(before)


def test_a_quick_report_does_not_read_val(index):
    (index.parent / "focal-val.csv").write_text("nothing,of,use\n")
    study = load_study(index, quick=True)
    assert [run.posthoc for arm in study.arms for run in arm.runs] == [None, None]
    with pytest.raises(SourceError, match=r"focal-val\.csv: must have the column 'sample_id'"):
        load_study(index)


def test_without_the_column_nothing_is_fitted(index):
    index.write_text("arm,seed,path\nbaseline,0,baseline.csv\nfocal,0,focal.csv\n")
    assert [dict(arm.runs[0].posthoc.fitted) for arm in load_study(index).arms] == [{}, {}]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (table(60, start=20)[0], "val must have no image of .*baseline.csv; 10 of 60 rows .* row 1 .'img020'."),
        (
            table(60, start=100)[0].rename(columns={"logit_NA": "logit_x"}).replace("NA", "x"),
            "must have the classes of",
        ),
    ],
)
def test_a_val_that_is_no_validation_set_of_this_test_set_is_refused(index, changed, message):
    changed.to_csv(index.parent / "baseline-val.csv", index=False)
    with pytest.raises(SourceError, match=message):
        load_study(index)


def test_a_row_without_its_val_is_refused(index):
    index.write_text("arm,seed,path,val\nbaseline,0,baseline.csv,baseline-val.csv\nfocal,0,focal.csv,\n")
    with pytest.raises(SourceError, match="val must name a file; 1 of 2 rows break this, the first is row 2"):
        load_study(index)
