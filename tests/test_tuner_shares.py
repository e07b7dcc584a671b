"""Trials that share a GPU: how many run at once, which GPU they see, and how much of its memory they may take."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from dermtune import tuner
from dermtune.device import keep_to_share
from dermtune.ending import Ending
from dermtune.execution import execute
from dermtune.ledger import SweepFolder
from dermtune.machines import Machines
from tests.plans import planned
from tests.tuner_workers import PLACE, Diary, Fake


@pytest.fixture
def one_gpu():
    """A Ray of two cores that takes this machine to have a GPU."""
    ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeing:
    """Does as `fake` does, and notes which GPUs it may see."""

    fake: Fake
    seen: Path

    def __call__(self, *args: Any, **options: Any) -> Mapping[str, float]:
        with self.seen.open("a") as file:
            file.write(json.dumps([os.environ["CUDA_VISIBLE_DEVICES"], options["gpus"]]) + "\n")
        return self.fake(*args, **options)


def test_two_trials_of_half_a_gpu_train_at_once_and_see_the_same_one(tmp_path, one_gpu):
    trials = planned().trials[:2]
    seeing = Seeing(fake=Fake(diary=Diary(tmp_path / "diary"), company=2), seen=tmp_path / "seen")
    ending = tuner.run(trials, SweepFolder(tmp_path / "sweep"), PLACE, Machines(gpus=0.5), execute=seeing)
    assert ending == Ending(finished=2)
    assert [json.loads(line) for line in seeing.seen.read_text().splitlines()] == [["0", 0.5]] * 2


@pytest.fixture
def shares(monkeypatch):
    """What torch is told that this process may take of its GPU's memory."""
    told: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", told.append)
    return told


def test_a_process_keeps_to_its_trials_share_of_the_memory_and_a_whole_gpu_is_all_its_own(shares):
    for gpus in (0.25, 1.0, 4.0, 0.0):
        keep_to_share(gpus)
    assert shares == [0.25]


def test_without_a_gpu_there_is_no_memory_to_share(shares, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    keep_to_share(0.5)
    assert shares == []


@pytest.mark.parametrize("levers", [{}, {"tuning": "head"}], ids=str)
def test_a_trial_keeps_to_its_share_before_it_loads_a_model(levers, make_trial, drawn, tmp_path, monkeypatch):
    def stop(gpus):
        raise InterruptedError(f"told {gpus}")

    monkeypatch.setattr("dermtune.device.keep_to_share", stop)
    folder = SweepFolder(tmp_path).trial("trial")
    how = {"threads": 1, "gpus": 0.5, "on_epoch": print, "on_notice": print}
    with pytest.raises(InterruptedError, match=r"told 0\.5"):
        execute(make_trial(levers=levers), drawn.place, folder, **how)
