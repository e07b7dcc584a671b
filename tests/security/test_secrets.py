"""No secret that a sweep is given is in anything that it writes or prints."""

import pickle
from dataclasses import replace

import pytest

from tests.malicious import Malicious
from tests.secret_files import holding
from tests.tiny_sweep import QUESTION, TinySweep
from tests.tracking_server import free_port

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
IN_URI = "canary-password-in-the-uri"


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
    assert SECRETS[name] not in done.stdout
    assert holding(SECRETS[name], here, short) == []


def test_that_search_would_find_a_secret_in_mlflows_store(with_secrets):
    here, *_ = with_secrets
    assert b"tiny" in (here / "here" / "mlflow.db").read_bytes()


def test_no_secret_of_the_uri_is_printed_or_written_where_its_server_is_away(with_secrets, tmp_path, short):
    here, sweep, _ = with_secrets
    away = replace(TinySweep.written(tmp_path / "here", here / "shared"), environment=sweep.environment)
    uri = f"http://anna:{IN_URI}@127.0.0.1:{free_port()}"
    done = away.run("--tracking-uri", uri, "--seeds", "1", seconds=500)
    assert done.returncode == 0, done.stdout
    assert "is not up to date" in done.stdout
    assert "MLflow  http://127.0.0.1:" in done.stdout
    for secret in (IN_URI, *SECRETS.values()):
        assert secret not in done.stdout
        assert holding(secret, tmp_path, short) == []


def test_what_lies_in_a_sweeps_folder_and_is_none_of_its_files_is_not_read(with_secrets, canary):
    _, sweep, _ = with_secrets
    planted = pickle.dumps(Malicious(canary))
    for name in (".tune-old/searcher-state.pkl", ".tune-old/tuner.pkl", "trials/searcher.pkl", "trainable.pkl"):
        (sweep.folder / name).parent.mkdir(exist_ok=True)
        (sweep.folder / name).write_bytes(planted)
    again = sweep.run("--seeds", "1", seconds=500)
    assert again.returncode == 1, again.stdout
    assert "Traceback" not in again.stdout
