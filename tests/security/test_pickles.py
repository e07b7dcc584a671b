"""Nothing is unpickled, and no code that comes with data or weights is run."""

import ast
import json
from pathlib import Path

import pytest
import torch
from transformers import ResNetConfig

from dermtune import checkpoints
from dermtune.checkpoints import CheckpointError
from dermtune.config import ModelConfig
from dermtune.model import ModelError, build_model, describe_model
from dermtune.serving import load_classifier, save_classifier
from tests.malicious import Malicious

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("dermtune", "analysis", "infra") for path in ROOT.glob(f"{package}/**/*.py"))


class Enough(Exception):
    """Cuts a training off."""


@pytest.fixture
def cut_off(fit, make_trial, tmp_path):
    """A sealed checkpoint of a trial that was cut off after its first epoch."""

    def stop(history):
        raise Enough

    with pytest.raises(Enough):
        fit(make_trial("resnet"), tmp_path / "checkpoint", stop)
    (checkpoint,) = (tmp_path / "checkpoint").glob("checkpoint-*")
    return checkpoint


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_checkpoint_that_would_run_code_is_refused_although_its_seal_holds(
    name, cut_off, fit, make_trial, canary
):
    torch.save(Malicious(canary), cut_off / name)
    checkpoints.seal(cut_off)
    with pytest.raises(CheckpointError) as refused:
        fit(make_trial("resnet"), cut_off.parent)
    assert str(refused.value) == (
        f"{cut_off} must hold tensors and plain values, got what would run code when it is read: "
        "find out who wrote it, and remove that folder"
    )


@pytest.mark.parametrize("name", ["training_args.bin", "pytorch_model.bin"])
def test_a_pickle_that_resuming_does_not_need_is_not_opened(name, cut_off, fit, make_trial, canary):
    torch.save(Malicious(canary), cut_off / name)
    checkpoints.seal(cut_off)
    assert len(fit(make_trial("resnet"), cut_off.parent).history) == 2


def test_weights_of_a_checkpoint_are_not_taken_from_a_pickle_where_the_safetensors_are_gone(
    cut_off, fit, make_trial, canary
):
    (cut_off / "model.safetensors").unlink()
    torch.save(Malicious(canary), cut_off / "pytorch_model.bin")
    checkpoints.seal(cut_off)
    with pytest.raises(CheckpointError, match="must hold tensors and plain values"):
        fit(make_trial("resnet"), cut_off.parent)


def test_pretrained_weights_are_read_as_safetensors_or_not_at_all(siglip_checkpoint, canary):
    (siglip_checkpoint / "model.safetensors").unlink()
    torch.save(Malicious(canary), siglip_checkpoint / "pytorch_model.bin")
    with pytest.raises(ModelError, match="weights as safetensors, never pickled") as refused:
        build_model(ModelConfig(checkpoint=str(siglip_checkpoint)), ("acne", "eczema"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("model_type", ["resnet", "evil"])
def test_code_that_comes_with_pretrained_weights_is_not_run_and_nobody_is_asked(model_type, tmp_path, canary):
    about = {**ResNetConfig().to_dict(), "model_type": model_type}
    about["auto_map"] = {"AutoConfig": "evil.Evil", "AutoModelForImageClassification": "evil.Evil"}
    (tmp_path / "config.json").write_text(json.dumps(about))
    (tmp_path / "evil.py").write_text(f"from pathlib import Path\nPath({str(canary)!r}).touch()\n")
    model = ModelConfig(checkpoint=str(tmp_path))
    if model_type == "resnet":
        assert describe_model(model, ("acne", "eczema")).model_type == "resnet"
    else:
        with pytest.raises(ModelError):
            describe_model(model, ("acne", "eczema"))


def test_a_model_that_was_logged_is_loaded_from_safetensors_or_not_at_all(drawn, make_trial, tmp_path, canary):
    config = make_trial("resnet").config
    save_classifier(build_model(config.model, drawn.data.classes), config, drawn.data.classes, tmp_path / "model")
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}
    (tmp_path / "model" / "model.safetensors").unlink()
    torch.save(Malicious(canary), tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"model.safetensors"):
        load_classifier(tmp_path / "model")


FORBIDDEN = {
    "eval", "exec", "compile", "pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads", "dill.load",
    "joblib.load", "torch.load", "yaml.load", "yaml.unsafe_load", "marshal.loads", "shelve.open", "pd.read_pickle",
    "os.system", "os.popen", "__import__",
}  # fmt: skip
ALLOWED = {"dermtune/loading.py": {"exec", "compile"}}
"""The user's own sweep and recipe files are code, and are run."""


def calls(path):
    """Every call in a source file: its dotted name, and the words of its keyword arguments that are True."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            true = {k.arg for k in node.keywords if isinstance(k.value, ast.Constant) and k.value.value is True}
            yield ast.unparse(node.func), true


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_file_unpickles_evaluates_or_trusts_remote_code(path):
    allowed = ALLOWED.get(str(path.relative_to(ROOT)), set())
    for name, true in calls(path):
        assert name not in FORBIDDEN - allowed
        assert not true & {"allow_pickle", "trust_remote_code", "shell"}, name


def test_that_search_would_find_them(tmp_path):
    (tmp_path / "bad.py").write_text("torch.load(f)\nnp.load(f, allow_pickle=True)\n")
    assert list(calls(tmp_path / "bad.py")) == [("torch.load", set()), ("np.load", {"allow_pickle"})]
