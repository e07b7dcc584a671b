"""What a hostile file, name or neighbour cannot do; docs/security.md has the table."""

import ast
import contextlib
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from transformers import ResNetConfig

from analysis.sources import load_study
from analysis.study import SourceError
from dermtune import checkpoints
from dermtune.checkpoints import CheckpointError
from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig
from dermtune.data.dataset import open_dataset
from dermtune.data.manifest import DataError, read_manifest
from dermtune.ledger import LedgerError, SweepFolder
from dermtune.model import ModelError, build_model, describe_model
from dermtune.plan import Sweep, plan
from dermtune.serving import load_classifier, save_classifier
from tests.data.conftest import CONFIG, healthy_rows
from tests.tiny_sweep import QUESTION, RECIPE, TinySweep, wait_until

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("dermtune/**/*.py"), *ROOT.glob("analysis/**/*.py")])


class Malicious:
    """What makes the canary's file when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


class Enough(Exception):
    """Cuts a training off."""


@pytest.fixture
def canary(tmp_path):
    """A file that nothing may make."""
    yield tmp_path / "canary"
    assert not (tmp_path / "canary").exists(), "something was unpickled or run"


# Nothing is unpickled.


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


# No name leaves its folder.


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/passwd", "a\0b"])
def test_a_metadata_row_cannot_name_a_file_outside_the_images(name, tmp_path):
    (tmp_path / "metadata.parquet").unlink(missing_ok=True)
    write_metadata(tmp_path, [healthy_rows()[0] | {"image_id": name}, *healthy_rows()[1:]])
    with pytest.raises(DataError, match="must name a file inside images/; 1 of 24 rows break this"):
        read_manifest(replace(CONFIG, metadata="metadata.parquet"), tmp_path)


def test_a_backslash_is_a_letter_of_a_name_and_leads_nowhere(tmp_path):
    write_metadata(tmp_path, [healthy_rows()[0] | {"image_id": "..\\..\\secret"}, *healthy_rows()[1:]])
    manifest = read_manifest(replace(CONFIG, metadata="metadata.parquet"), tmp_path)
    assert (tmp_path / manifest.files[0]).parent == tmp_path / "images"


def test_a_link_that_the_owner_of_the_folder_put_there_is_followed(config_and_place):
    """DVC and git-annex keep images elsewhere and link to them; metadata alone can make no link."""
    config, place = config_and_place
    image = place.data_dir / "images" / "train0a.png"
    before = open_dataset(config, place).fingerprint
    image.rename(place.data_dir.parent / "store.png")
    image.symlink_to(place.data_dir.parent / "store.png")
    assert open_dataset(config, place).fingerprint == before


def write_metadata(folder, rows):
    import pandas as pd

    pd.DataFrame(rows).to_parquet(folder / "metadata.parquet")


@pytest.fixture
def config_and_place(tmp_path):
    import numpy as np
    from PIL import Image

    from dermtune.data.place import Place

    (tmp_path / "data" / "images").mkdir(parents=True)
    write_metadata(tmp_path / "data", healthy_rows())
    for grey, row in enumerate(healthy_rows()):
        pixels = np.full((8, 8, 3), grey, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / "images" / f"{row['image_id']}.png")
    place = Place(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    return replace(CONFIG, metadata="metadata.parquet"), place


OUTSIDE = ["..", ".", "", "../../elsewhere", "/etc", "a/b", "a\0b", "a\nb", 3]


@pytest.fixture
def the_plan():
    config = Config(data=DataConfig(), model=ModelConfig(architecture="resnet"), training=TrainingConfig(epochs=1))
    sweep = Sweep(name="tiny", grid={"focal_gamma": (0.0, 2.0)}, baseline={"focal_gamma": 0.0}, seeds=(0,))
    return plan(sweep, config, recipe="tiny", fingerprints={"data": "f00"})


@pytest.mark.parametrize("trial_id", OUTSIDE)
def test_a_trial_id_in_a_sweeps_folder_cannot_lead_out_of_it(trial_id, the_plan, tmp_path):
    folder = SweepFolder(tmp_path / "runs" / "tiny-tiny")
    folder.write_plan(the_plan, "")
    asked = json.loads((folder.path / "sweep.json").read_text())
    asked["trials"][0]["trial_id"] = trial_id
    (folder.path / "sweep.json").write_text(json.dumps(asked))
    with pytest.raises(LedgerError, match=r"sweep\.json must hold what was asked"):
        folder.write_plan(the_plan, "")
    with pytest.raises(SourceError):
        load_study(folder.path)


# What a sweep starts is for this user on this machine.


@pytest.fixture(scope="module")
def short():
    """A folder for what Ray leaves: the path of a socket has at most 107 letters."""
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def under_way(tmp_path_factory, short):
    """A sweep that trains for as long as it is looked at, and its processes."""
    here = tmp_path_factory.mktemp("listening")
    environment = {"HOME": str(here / "home"), "TMPDIR": str(short), "RAY_TMPDIR": str(short)}
    (here / "home").mkdir()
    sweep = TinySweep.written(here / "here", here / "shared", recipe=RECIPE.replace("epochs=4", "epochs=100000"))
    sweep = replace(sweep, environment=environment)
    driver = sweep.start()
    try:
        wait_until(
            lambda: list(sweep.folder.glob("trials/*/history.csv")) or driver.poll() is not None, "an epoch", 500
        )
        assert driver.poll() is None, driver.stdout.read()
        yield sweep, psutil.Process(driver.pid)
    finally:
        for process in reversed(tree(psutil.Process(driver.pid)) if driver.poll() is None else []):
            with contextlib.suppress(psutil.NoSuchProcess):  # it went with another of them
                process.kill()
        driver.communicate()


def tree(driver):
    return [driver, *driver.children(recursive=True)]


def connections(driver):
    """Every internet socket of the driver and of all that it started, with the process's command."""
    for process in tree(driver):
        for socket in process.net_connections("inet"):
            yield " ".join(process.cmdline())[:80], socket


def is_loopback(ip):
    return ip.removeprefix("::ffff:").startswith("127.") or ip == "::1"


def test_everything_that_a_sweep_starts_listens_on_loopback_alone(under_way):
    _, driver = under_way
    listening = [(name, s.laddr) for name, s in connections(driver) if s.status == psutil.CONN_LISTEN]
    assert any("gcs_server" in name for name, _ in listening)
    assert any("raylet" in name for name, _ in listening)
    assert len(listening) >= 5
    assert [(name, address) for name, address in listening if not is_loopback(address.ip)] == []
    assert 8265 not in [address.port for _, address in listening], "Ray's dashboard"


def test_nothing_that_a_sweep_starts_talks_to_another_machine(under_way):
    _, driver = under_way
    remote = [(name, s.raddr) for name, s in connections(driver) if s.raddr and not is_loopback(s.raddr.ip)]
    assert remote == []


def is_rays_own(process):
    """Whether it is one of the two from which all others of Ray come; a worker's title overwrites its environ."""
    return Path((process.cmdline() or [""])[0]).name in ("gcs_server", "raylet")


def test_usage_statistics_and_telemetry_are_off_in_what_ray_starts_from(under_way):
    _, driver = under_way
    started = [process.environ() for process in driver.children(recursive=True) if is_rays_own(process)]
    assert len(started) == 2
    assert {environment.get("RAY_USAGE_STATS_ENABLED") for environment in started} == {"0"}
    assert {environment.get("MLFLOW_DISABLE_TELEMETRY") for environment in started} == {"true"}


CLIENT = """
import logging, sys, ray
ray.init(address=sys.argv[1], logging_level=logging.CRITICAL)
print("let in, it sees", len(ray.nodes()), "node")
"""


def client(address, **environment):
    """What becomes of another process that tries to connect to the sweep's Ray."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    kept["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # else Ray looks for 127.0.0.1 at this machine's other address
    command = [sys.executable, "-c", CLIENT, address]
    return subprocess.Popen(
        command, env={**kept, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_another_client_is_let_in_with_the_token_and_refused_without(under_way, tmp_path):
    sweep, driver = under_way
    commands = [" ".join(process.cmdline()) for process in driver.children(recursive=True)]
    (address,) = set(re.findall(r"--gcs-address=(\S+)", " ".join(commands)))
    home = sweep.environment["HOME"]
    clients = {
        "token": client(address, HOME=home, RAY_AUTH_MODE="token"),
        "none": client(address, HOME=str(tmp_path), RAY_AUTH_MODE="disabled"),
        "wrong": client(address, HOME=str(tmp_path), RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="f" * 64),
    }
    said = {name: process.communicate(timeout=300)[0] for name, process in clients.items()}
    assert "let in, it sees 1 node" in said["token"]
    for name in ("none", "wrong"):
        assert "let in" not in said[name]
        assert "token is missing or incorrect" in said[name]


def test_the_token_is_for_this_users_eyes_alone(under_way):
    sweep, _ = under_way
    token = Path(sweep.environment["HOME"]) / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o077 == 0


# No secret is written or printed.

SECRETS = {
    "HF_TOKEN": "hf_canaryTokenOfTheHub0000000000000",
    "HUGGING_FACE_HUB_TOKEN": "hf_canaryTokenOfTheHub1111111111111",
    "AWS_ACCESS_KEY_ID": "AKIACANARYCANARYCANA",
    "AWS_SECRET_ACCESS_KEY": "canary/secret/access/key/of/aws/00000000",
    "MLFLOW_TRACKING_USERNAME": "canary-user-of-mlflow",
    "MLFLOW_TRACKING_PASSWORD": "canary-password-of-mlflow",
    "MLFLOW_TRACKING_TOKEN": "canary-token-of-mlflow",
    "RAY_AUTH_TOKEN": "ca9a27" * 8,
    "RUNPOD_API_KEY": "canary-key-of-runpod",
}


@pytest.fixture(scope="module")
def with_secrets(tmp_path_factory, short):
    """A sweep of two trials, one of which fails, in an environment full of secrets, after its end."""
    here = tmp_path_factory.mktemp("secrets")
    question = QUESTION.replace("focal_gamma", "learning_rate").replace("(0.0, 2.0)", "(0.001, 1e30)")
    question = question.replace('"learning_rate": 0.0', '"learning_rate": 0.001')
    sweep = TinySweep.written(here / "here", here / "shared", question=question)
    sweep = replace(sweep, environment={**SECRETS, "TMPDIR": str(short), "RAY_TMPDIR": str(short)})
    return here, sweep, sweep.run("--seeds", "1", seconds=500)


def test_the_sweep_among_secrets_has_one_trial_that_is_done_and_one_that_is_not(with_secrets):
    _, sweep, done = with_secrets
    assert done.returncode == 1, done.stdout
    assert (len(sweep.trials()), len(list(sweep.folder.glob("trials/*/failure.json")))) == (1, 1)


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_of_the_environment_is_printed_or_written(name, with_secrets, short):
    here, _, done = with_secrets
    secret = SECRETS[name]
    assert secret not in done.stdout
    files = [path for folder in (here, short) for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "raylet.out" for path in files), "Ray's own logs are searched too"
    assert [str(path) for path in files if secret.encode() in path.read_bytes()] == []


def test_that_search_would_find_a_secret_in_mlflows_store(with_secrets):
    here, *_ = with_secrets
    assert b"tiny" in (here / "here" / "mlflow.db").read_bytes()


# A planted file is nothing that a sweep reads.


def test_what_lies_in_a_sweeps_folder_and_is_none_of_its_files_is_not_read(with_secrets, canary):
    _, sweep, _ = with_secrets
    planted = pickle.dumps(Malicious(canary))
    for name in (".tune-old/searcher-state.pkl", ".tune-old/tuner.pkl", "trials/searcher.pkl", "trainable.pkl"):
        (sweep.folder / name).parent.mkdir(exist_ok=True)
        (sweep.folder / name).write_bytes(planted)
    again = sweep.run("--seeds", "1", seconds=500)
    assert again.returncode == 1, again.stdout
    assert "Traceback" not in again.stdout
