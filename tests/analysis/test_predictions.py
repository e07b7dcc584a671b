import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.predictions import PredictionError, Predictions, read_predictions, write_predictions

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)


@st.composite
def predictions(draw):
    n, k = draw(st.integers(1, 30)), draw(st.integers(1, 9))
    logits = hnp.arrays(np.float32, (n, k), elements=st.floats(-1e4, 1e4, width=32))
    return Predictions(
        arm=draw(TEXT),
        seed=draw(st.integers(0, 2**31)),
        split=draw(st.sampled_from(("val", "test"))),
        trial_id=draw(TEXT),
        classes=tuple(draw(st.lists(TEXT, min_size=k, max_size=k, unique=True))),
        sample_id=np.array(draw(st.lists(TEXT, min_size=n, max_size=n, unique=True))),
        group_id=np.array(draw(st.lists(TEXT, min_size=n, max_size=n))),
        label=draw(hnp.arrays(np.int16, n, elements=st.integers(0, k - 1))),
        logits=draw(logits),
        logits_hflip=draw(st.none() | logits),
    )


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=predictions())
def test_what_is_written_is_read_again(tmp_path, written):
    write_predictions(tmp_path / "test.parquet", written)
    read = read_predictions(tmp_path / "test.parquet")
    for name in Predictions.__dataclass_fields__:
        before, after = getattr(written, name), getattr(read, name)
        assert np.array_equal(before, after), name
    assert [path.name for path in tmp_path.iterdir()] == ["test.parquet"]


@settings(deadline=None, max_examples=40)
@given(predictions())
def test_probabilities_sum_to_one_and_follow_the_logits(drawn):
    p = drawn.probabilities
    assert p.sum(axis=1) == pytest.approx(np.ones(len(p)))
    rows = np.arange(len(p))
    assert p[rows, drawn.logits.argmax(axis=1)] == pytest.approx(p.max(axis=1))


def small(**changes):
    fields = {
        "arm": "focal",
        "seed": 1,
        "split": "test",
        "trial_id": "t",
        "classes": ("a", "b"),
        "sample_id": np.array(["x", "y", "z"]),
        "group_id": np.array(["x", "y", "z"]),
        "label": np.array([0, 1, 1], dtype=np.int16),
        "logits": np.zeros((3, 2), dtype=np.float32),
    }
    return Predictions(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"logits": np.array([[0, 0], [np.nan, 0], [np.inf, 0]])},
            r"logits must be finite; 2 of 3 rows .* row 2 \('y'\)",
        ),
        ({"label": np.array([0, 1, 2])}, r"label must lie in 0..1; 1 of 3 rows .* row 3 \('z'\)"),
        ({"sample_id": np.array(["x", "y", "x"])}, "sample_id must be unique, 1 are doubled, the first 'x'"),
        ({"logits": np.zeros((3, 4))}, r"logits must be \[3 images, 2 classes\], got \[3, 4\]"),
        ({"group_id": np.array(["x"])}, "group_id and label must have 3 rows"),
        ({"classes": ("a", "a")}, "class names must differ, got a, a"),
        ({"group_id": np.array(["x", "", "z"])}, r"group_id must not be empty; 1 of 3 rows .* row 2 \('y'\)"),
    ],
)
def test_predictions_that_cannot_be_judged_are_refused(changes, message):
    with pytest.raises(PredictionError, match=message):
        small(**changes)


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "test.parquet").write_bytes(b"nothing")
    with pytest.raises(PredictionError, match=r"test.parquet: must be a readable Parquet file"):
        read_predictions(tmp_path / "test.parquet")


def test_a_parquet_file_of_another_kind_is_named(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "test.parquet")
    with pytest.raises(PredictionError, match="must be a dermtune prediction file of format 1, got format none"):
        read_predictions(tmp_path / "test.parquet")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("label", pa.array([0, None, 1], pa.int16()), "column label must have no gaps, 1 rows have"),
        ("sample_id", pa.array(["x", None, None]), "column sample_id must have no gaps, 2 rows have"),
        ("logits", pa.array([[0.0], [0.0], [0.0]]), "column logits must be a fixed-size list"),
    ],
)
def test_a_damaged_column_is_named(tmp_path, column, values, message):
    path = tmp_path / "test.parquet"
    write_predictions(path, small())
    table = pq.read_table(path)
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, values), path)
    with pytest.raises(PredictionError, match=rf"test.parquet: {message}"):
        read_predictions(path)


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "test.parquet"
    write_predictions(path, small())
    pq.write_table(pq.read_table(path).drop_columns("group_id"), path)
    with pytest.raises(PredictionError, match=r"must have the columns .*, 'group_id' is missing"):
        read_predictions(path)
