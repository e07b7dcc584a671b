"""`--write-recipe` gives a file that trains the arm to ship again: its very configuration, the same trials."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import significance
from dermtune.config import Config, DataConfig, Levers, ModelConfig, SyntheticConfig, TrainingConfig
from dermtune.loading import load_recipe, load_sweep
from dermtune.plan import plan
from tests.finished_sweep import write_sweep

ROOT = Path(__file__).parents[1]
BASELINE = Config(
    data=DataConfig(label_column='the "dx"', group_column="lesion_id", synthetic=SyntheticConfig(n_train=300)),
    model=ModelConfig(
        architecture="siglip",
        settings={"vision_config": {"image_size": 32, "data": ["x", None, True], "name": "dé\\jà"}},
        pixel_mean=(0.78, 0.53, 0.55),
    ),
    training=TrainingConfig(learning_rate=2e-5, vflip=True),
)
WINNER = replace(BASELINE, levers=Levers(focal_gamma=2.0, label_smoothing=0.1))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Sweeps in which the second arm is better, and in which it is not."""
    made = tmp_path_factory.mktemp("sweeps")
    for name, gain in (("won", 1.0), ("lost", 0.0)):
        folder = write_sweep(
            made / name, {"baseline": 0.0, "focal_gamma=2+label_smoothing=0.1": gain}, seeds=range(3)
        )
        asked = json.loads((folder / "sweep.json").read_text())
        (folder / "sweep.json").write_text(json.dumps({**asked, "recipe": "clinic"}))
        for trial in asked["trials"]:
            file = folder / "trials" / trial["trial_id"] / "manifest.json"
            config = BASELINE if trial["arm"] == "baseline" else WINNER
            file.write_text(json.dumps({**json.loads(file.read_text()), "config": config.to_dict()}))
    return made


def written(source, tmp_path):
    file = tmp_path / "recipe.py"
    assert significance.main([str(source), "--quick", "--write-recipe", str(file)]) == 0
    return file


@pytest.mark.parametrize(("name", "config"), [("won", WINNER), ("lost", BASELINE)])
def test_the_recipe_holds_the_configuration_of_the_arm_to_ship(finished, tmp_path, name, config):
    assert load_recipe(str(written(finished / name, tmp_path))).config == config


def test_a_retrain_on_it_has_the_trial_ids_of_the_arm_that_won(finished, tmp_path):
    recipe = load_recipe(str(written(finished / "won", tmp_path)))
    again, _ = load_sweep(ROOT / "sweeps" / "repeat_baseline.py")
    retrained = plan(again, recipe.config, recipe=recipe.name, fingerprints={"data": "ab"})
    asked, _ = load_sweep(ROOT / "sweeps" / "focal_ls.py")
    won = plan(asked, BASELINE, recipe="clinic", fingerprints={"data": "ab"})
    (arm,) = {t.arm for t in won.trials if t.config.levers == WINNER.levers}
    assert [t.trial_id for t in retrained.trials][:5] == [t.trial_id for t in won.trials if t.arm == arm][:5]


def test_it_says_what_it_rests_on_and_how_to_train_it(finished, tmp_path):
    text = written(finished / "won", tmp_path).read_text()
    assert text.startswith(
        '"""focal_gamma=2+label_smoothing=0.1 of focal_ls on clinic, to be trained for use.\n\nVerdict:  keep'
    )
    assert "in balanced accuracy over the baseline\n          (95% interval +" in text
    assert "Evidence: 3 seeds an arm, 1,512 test images, commit 0f3c9a1." in text
    assert "--recipe FILE" in text
    assert 'name="clinic_focal_gamma_2_label_smoothing_0_1"' in text


def test_where_nothing_is_kept_it_says_that_it_is_the_baseline(finished, tmp_path):
    text = written(finished / "lost", tmp_path).read_text()
    assert "Verdict:  no arm is shown to beat the baseline in balanced accuracy; this is the baseline." in text


@pytest.mark.parametrize("width", [88, 116])
def test_it_is_formatted_as_ruff_would(finished, tmp_path, width):
    file = written(finished / "won", tmp_path)
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--check", "--line-length", str(width), str(file)]
    assert subprocess.run(ruff, check=False, capture_output=True).returncode == 0


def test_files_without_a_configuration_are_refused_in_one_line(finished, tmp_path, capsys):
    index = tmp_path / "index.csv"
    files = [
        (t["arm"], t["seed"], t["trial_id"])
        for t in json.loads((finished / "won/sweep.json").read_text())["trials"]
    ]
    rows = [f"{arm},{seed},{finished / 'won/trials' / trial / 'test.parquet'}" for arm, seed, trial in files]
    index.write_text("\n".join(["arm,seed,path", *rows]))
    assert significance.main([str(index), "--quick", "--write-recipe", str(tmp_path / "recipe.py")]) == 2
    said = capsys.readouterr().err
    assert said == (
        "dermtune-significance: --write-recipe needs a sweep's folder, whose trials hold their configuration, "
        f"got {index}\n"
    )
    assert not (tmp_path / "recipe.py").exists()


def test_an_arm_whose_trials_disagree_is_refused(finished, tmp_path, capsys):
    folder = write_sweep(tmp_path / "mixed", {"baseline": 0.0, "a": 0.0}, seeds=range(2))
    asked = json.loads((folder / "sweep.json").read_text())
    (folder / "sweep.json").write_text(json.dumps({**asked, "recipe": "clinic"}))
    assert significance.main([str(folder), "--quick", "--write-recipe", str(tmp_path / "recipe.py")]) == 2
    assert "the manifests of baseline must hold one configuration, they hold 0\n" in capsys.readouterr().err
