"""What bad input gets from a sweep: one line that names it, where it is and how much of it, and nothing begun."""

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dermtune
from dermtune import sweep

QUESTION = '''"""Does focal loss lift the long tail?"""

from dermtune.plan import Sweep


def sweep():
    return Sweep(
        name="tiny",
        grid={"focal_gamma": (0.0, 2.0)},
        baseline={"focal_gamma": 0.0},
    )
'''

RECIPE = """
from dermtune.config import Config, DataConfig, ModelConfig, SyntheticConfig, TrainingConfig
from dermtune.recipes import Recipe


def recipe():
    return Recipe(
        name="tiny",
        config=Config(
            data=DataConfig(image_suffix=".png", group_column="lesion_id", image_size=8),
            model=ModelConfig(architecture="resnet"),
            training=TrainingConfig(epochs=1),
        ),
        data_dir="photos",
    )
"""

METADATA = Path("photos/metadata.csv")
IMAGES = Path("photos/images")
ROW_3 = "; 1 of 24 rows break this, the first is row 3"


def write_metadata(rows):
    with METADATA.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a question, a recipe and 24 photographs, where no trial can start."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("DERMTUNE_CACHE", str(tmp_path / "cache"))
    for module in ("ray", "dermtune.tuner"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr(dermtune, "tuner", raising=False)
    Path("question.py").write_text(QUESTION)
    Path("recipe.py").write_text(RECIPE)
    return Path.cwd()


@pytest.fixture
def rows(here):
    """The metadata's rows: two classes, two photographs a lesion, eight lesions in train and four in test."""
    rows = [
        {
            "image_id": f"{split}{lesion}{view}",
            "lesion_id": f"{split}{lesion}",
            "label": ("eczema", "acne")[lesion % 2],
            "split": split,
        }
        for split, lesions in (("train", 8), ("test", 4))
        for lesion in range(lesions)
        for view in "ab"
    ]
    IMAGES.mkdir(parents=True)
    write_metadata(rows)
    for grey, row in enumerate(rows):
        Image.fromarray(np.full((8, 8, 3), grey, dtype=np.uint8)).save(IMAGES / f"{row['image_id']}.png")
    return rows


@pytest.fixture
def refused(rows, capsys):
    """Calls the sweep's door and gives the one line with which it refuses, after nothing was written."""

    def line(*arguments, file="question.py", recipe="recipe.py"):
        before = sorted(Path().rglob("*"))
        try:
            code = sweep.main([file, "--recipe", recipe, *arguments])
        except SystemExit as stop:  # argparse ends the process itself
            code = stop.code
        said = capsys.readouterr().err
        assert (code, said.count("\n")) == (2, 1), said
        assert said.startswith("dermtune-sweep: ")
        assert sorted(Path().rglob("*")) == before
        return said

    return line


def test_the_unbroken_folder_is_accepted(rows, capsys):
    assert sweep.main(["question.py", "--recipe", "recipe.py", "--dry-run"]) == 0
    assert re.search(r"^in all +0 +10 ", capsys.readouterr().out, re.MULTILINE), "none is done, ten are to run"


def test_missing_images_are_counted_and_named(refused):
    for name in ("train0a", "test3b"):
        (IMAGES / f"{name}.png").unlink()
    assert (
        "photos: images must be readable and whole; "
        "1 of 16 train images is not, where max_unreadable_train=0.01 allows none and "
        "1 of 8 test images is not, where max_unreadable_eval=0 allows none: "
        "images/train0a.png (missing), images/test3b.png (missing); "
        "mend them, or take their rows out of metadata.csv"
    ) in refused()


@pytest.mark.parametrize(
    ("break_file", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-25]), "train0a.png (image file is truncated)"),
        (lambda path: path.write_text("no image"), "train0a.png (no image in a format that is read)"),
        (lambda path: path.write_bytes(b""), "train0a.png (0 bytes)"),
        (lambda path: (path.unlink(), path.mkdir()), "train0a.png (Is a directory)"),
    ],
    ids=["truncated", "not an image", "0 bytes", "a folder"],
)
def test_an_unreadable_image_is_named_with_what_is_wrong(refused, here, break_file, told):
    break_file(IMAGES / "train0a.png")
    said = refused()
    assert f"{here}/photos: images must be readable and whole; 1 of 16 train images is not" in said
    assert f": images/{told}; mend them" in said


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image_id": "train0a"}, "`image_id` must name each image once" + ROW_3),
        ({"image_id": "../../secret"}, "must name a file inside images/" + ROW_3),
        ({"image_id": "/etc/passwd"}, "must name a file inside images/" + ROW_3),
        ({"label": "NaN"}, "`label` must not be empty" + ROW_3),
        ({"lesion_id": ""}, "`lesion_id` must not be empty" + ROW_3),
        ({"split": "dev"}, "`split` must be train, val or test" + ROW_3 + " ('dev')"),
        ({"label": "wart"}, "every class must have a test image, 'wart' has none"),
        ({"label": "wart", "split": "test"}, "every class must have a train image, 'wart' has none"),
        ({"lesion_id": "test0"}, "a group must stand in one split only; 1 stand in two: test0 (test and train)"),
    ],
    ids=[
        "doubled", "upwards", "absolute", "no label", "no group", "unknown split", "never tested", "never trained",
        "a lesion in two splits",
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_trained_on_is_named_with_its_file(refused, rows, here, change, told):
    rows[2] |= change
    write_metadata(rows)
    said = refused()
    assert said.startswith(f"dermtune-sweep: {here}/{METADATA}: ")
    assert told in said


def test_a_missing_column_is_named_beside_those_that_are_there(refused, rows):
    write_metadata([{k: v for k, v in row.items() if k != "lesion_id"} for row in rows])
    assert "must have the column 'lesion_id' that the recipe names; it has image_id, label, split" in refused()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"image_id,label\na,b\nc,d,e\n"])
def test_metadata_that_are_no_table_are_refused(refused, content):
    METADATA.write_bytes(content)
    assert f"{METADATA}: must be a readable CSV or Parquet file: " in refused()


def test_missing_metadata_and_a_missing_folder_point_to_the_option_that_names_it(refused, here):
    told = "metadata.csv: the metadata file must be there; `--data` names the folder that holds it"
    assert f"{here}/gone/{told}" in refused("--data", "gone")
    METADATA.unlink()
    assert f"{here}/photos/{told}" in refused()
    Path("recipe.py").write_text(RECIPE.replace('data_dir="photos"', 'note="photographs"'))
    assert "--data must name the folder of recipe tiny's images: photographs" in refused()


def test_a_drawn_set_with_other_settings_does_not_pass_for_the_one_that_was_asked_for(refused):
    Path("photos/synthetic.json").write_text('{"n_train": 3000}')
    Path("recipe.py").write_text(RECIPE.replace("image_size=8", "image_size=8, synthetic=SyntheticConfig()"))
    assert "photos: must hold the synthetic set {'n_train': 3000, 'n_test': 1500" in refused()


@pytest.mark.parametrize(
    ("there", "instead", "told"),
    [
        ('"focal_gamma": (', '"fokal_gamma": (', "line 7: unknown lever 'fokal_gamma' in the grid; the levers are"),
        ("(0.0, 2.0)", "(0.0, -2.0)", "`focal_gamma` must be >= 0, got -2.0 in arm 'focal_gamma=-2'"),
        ("(0.0, 2.0)", "(0.0, 'x')", "`focal_gamma` must be a finite number, got 'x' in arm 'focal_gamma=x'"),
        ("(0.0, 2.0)", "(1.0, 2.0)", "line 7: the baseline must be a cell of the grid: `focal_gamma` = 0.0"),
        ('"tiny",', '"tiny", seeds=(0, 0),', "seeds must be distinct and at least one, got [0, 0]"),
        ('"tiny",', '"tiny", seeds=(0.5,),', "a seed must be a whole number from 0 to 2**32 - 1, got 0.5"),
        ('"tiny",', '"tiny", primary_metric="accuracy",', "metric must be one of top1, top3, balanced_accuracy,"),
        ('"tiny",', '"tiny", guard_metrics=("recall:wart",),', "recall must be of a class of the data, got 'wart'"),
        ("def sweep():", "def sweep(:", "line 6: must be Python, got invalid syntax"),
        ("    return", "    raise SystemExit('two\\nlines')\n    return", "line 7: SystemExit: two lines"),
        (QUESTION, "\0", "must be Python, got source code string cannot contain null bytes"),
        (QUESTION, "", "must define sweep() that returns a Sweep, it defines none"),
    ],
)
def test_a_question_that_cannot_be_asked_is_told_with_its_file(refused, there, instead, told):
    Path("question.py").write_text(QUESTION.replace(there, instead))
    said = refused()
    assert said.startswith("dermtune-sweep: question.py")
    assert told in said


@pytest.mark.parametrize(("file", "got"), [("gone.py", "nothing"), ("photos", "a folder"), ("photos/a", "nothing")])
def test_a_path_that_is_no_question_is_told_for_what_it_is(refused, file, got):
    assert refused(file=file) == (
        f"dermtune-sweep: {file}: there must be a sweep file such as sweeps/focal_ls.py, got {got}\n"
    )


def test_an_unknown_recipe_is_answered_with_those_that_there_are(refused):
    assert "must be laptop, ham10000, medsiglip or a Python file with recipe(), got 'lap'" in refused(recipe="lap")
    assert "gone.py: there must be laptop, ham10000, medsiglip or a Python file" in refused(recipe="gone.py")


@pytest.mark.parametrize(
    ("there", "instead", "told"),
    [
        ("    return", "    raise KeyError('dx')\n    return", "line 7: KeyError: 'dx'"),
        ("def recipe():", "def recipe(:", "line 6: must be Python, got invalid syntax"),
        ("epochs=1", "epochs=0", "line 12: `epochs` must be >= 1, got 0"),
        ("TrainingConfig(epochs=1)", "{}", "line 9: `training` must be a TrainingConfig, got {}"),
        ('image_suffix=".png"', "image_suffix=None", "line 10: `image_suffix` must be a text, got None"),
        ('name="tiny"', 'name="../tiny"', "line 7: a recipe's name must be letters, digits and _, got '../tiny'"),
        ("data_dir=", "resources=2, data_dir=", "line 7: a recipe's `resources` must be a Resources, got 2"),
        ("    return", "    return 3\n    return", "recipe() must return a Recipe, got int"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_told_with_file_and_line(refused, there, instead, told):
    Path("recipe.py").write_text(RECIPE.replace(there, instead, 1))
    said = refused()
    assert said.startswith("dermtune-sweep: recipe.py")
    assert told in said


def test_folders_that_cannot_be_written_are_named(refused, here, monkeypatch):
    assert f"{here}/question.py/tiny-tiny must be a folder that can be written: " in refused("--out", "question.py")
    monkeypatch.setenv("DERMTUNE_CACHE", "question.py")
    assert f"{here}/question.py: must be a folder to keep decoded images in" in refused()


@pytest.mark.parametrize("content", ["{", "[]", '{"trials": 3}', '{"trials": [{"arm": "baseline"}]}'])
def test_a_damaged_sweep_folder_is_named_and_left_as_it_is(refused, here, content):
    folder = Path("runs/tiny-tiny")
    folder.mkdir(parents=True)
    (folder / "driver.lock").touch()
    (folder / "sweep.json").write_text(content)
    assert f"{here}/runs/tiny-tiny/sweep.json must hold what was asked: " in refused()
    assert (folder / "sweep.json").read_text() == content


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--seeds", "0"], "argument --seeds: must be a whole number of at least 1, got '0'"),
        (["--max-hours", "nan"], "argument --max-hours: must be a number of at least 0, got 'nan'"),
        (["--cpus-per-trial", "0"], "argument --cpus-per-trial: must be a number above 0, got '0'"),
        (["--max-usd", "5"], "--max-usd needs --usd-per-hour"),
        (["--seed", "3"], "unrecognized arguments: --seed 3"),
    ],
)
def test_a_faulty_option_is_named_with_what_it_must_be(refused, arguments, told):
    assert told in refused(*arguments)


@pytest.mark.parametrize(
    ("grid", "baseline", "told"),
    [
        ('"tuning": ("full", "lora")', '"tuning": "full"', "in arm 'tuning=lora'"),
        (
            '"tuning": ("last_k",), "tuned_blocks": (1, 40)',
            '"tuning": "last_k", "tuned_blocks": 1',
            "in arm 'tuned_blocks=40'",
        ),
    ],
)
def test_an_arm_for_which_the_model_lacks_a_part_is_named_before_anything_starts(refused, grid, baseline, told):
    question = QUESTION.replace('"focal_gamma": (0.0, 2.0)', grid).replace('"focal_gamma": 0.0', baseline)
    Path("question.py").write_text(question)
    assert told in refused()
