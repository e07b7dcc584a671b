"""Which trials take alike, and what a timing that is kept is known by."""

from dataclasses import fields, replace

import pytest

from dermtune.config import LEVER_NAMES, Config, DataConfig, Levers, ModelConfig, TrainingConfig
from dermtune.data.place import Place
from dermtune.timing import Asked, asking, kind_of
from dermtune.timing import machine as machines
from dermtune.timing.kinds import SWITCHES, TIMELESS, same_kind
from dermtune.timing.machine import Machine, this_machine

CONFIG = Config(data=DataConfig(), model=ModelConfig(architecture="resnet"), training=TrainingConfig())


@pytest.mark.parametrize(
    "levers",
    [
        {"focal_gamma": 2.0},
        {"label_smoothing": 0.1},
        {"logit_adjustment": 1.0},
        {"sampler_power": 0.5, "sampler_schedule": "progressive"},
        {"effective_number": 0.999, "drw": 0.8},
        {"learning_rate_factor": 3.0},
        {"learning_rate": 1e-5},
        {"epochs": 50},
    ],
)
def test_arms_that_change_what_a_step_computes_take_as_long_as_the_baseline(levers):
    assert kind_of(CONFIG.with_levers(levers)) == kind_of(CONFIG)


@pytest.mark.parametrize(
    "levers",
    [
        {"tuning": "head"},
        {"tuning": "last_k", "tuned_blocks": 2},
        {"tuning": "lora", "lora_rank": 4},
        {"mixup": 0.2},
        {"ema": 0.99},
        {"ldam": 0.5},
        {"batch_size": 32},
        {"gradient_checkpointing": True},
        {"precision": "bfloat16"},
        {"attention": "eager"},
        {"compile": True},
        {"channels_last": True},
        {"hflip": False},
    ],
)
def test_arms_that_change_what_is_trained_or_how_are_timed_by_themselves(levers):
    assert kind_of(CONFIG.with_levers(levers)) != kind_of(CONFIG)


@pytest.mark.parametrize(("lever", "values"), [("mixup", (0.1, 1.0)), ("ema", (0.9, 0.999)), ("ldam", (0.2, 0.5))])
def test_a_switch_costs_the_same_whatever_its_value(lever, values):
    assert len({kind_of(CONFIG.with_levers({lever: value})) for value in values}) == 1


def test_every_lever_that_is_said_to_cost_no_time_is_one():
    assert {*TIMELESS, *SWITCHES} <= {*LEVER_NAMES}
    assert not TIMELESS & {*SWITCHES}


def test_what_stands_for_a_kind_is_a_configuration_that_can_be_trained():
    arm = CONFIG.with_levers({"sampler_power": 0.5, "sampler_schedule": "progressive", "ema": 0.5})
    stands = same_kind(arm)
    assert stands.levers == replace(Levers(), ema=SWITCHES["ema"])
    assert same_kind(stands) == stands


ASKED = Asked(
    place=Place(data_dir="data", cache_dir="cache"),
    fingerprints={"data": "abc"},
    machine=Machine(processor="one", cores=2),
    cpus=1,
    gpus=0,
)


def test_a_timing_is_known_by_all_that_changes_it_and_by_nothing_else(monkeypatch):
    changes = {
        "place": Place(data_dir="elsewhere", cache_dir="cache"),
        "fingerprints": {"data": "other"},
        "machine": Machine(processor="two", cores=2),
        "cpus": 2,
        "gpus": 1.0,
        "beside": 2,
        "micro_batch": 4,
    }
    assert set(changes) == {field.name for field in fields(Asked)}
    keys = {name: replace(ASKED, **{name: value}).key(CONFIG) for name, value in changes.items()}
    assert keys.pop("place") == ASKED.key(CONFIG)
    keys |= {"config": ASKED.key(CONFIG.with_levers({"ema": 0.9}))}
    assert ASKED.key(CONFIG.with_levers({"focal_gamma": 2.0})) == ASKED.key(CONFIG)
    monkeypatch.setattr(asking, "version", lambda package: f"another {package}")
    keys |= {"versions": ASKED.key(CONFIG)}
    assert len({ASKED.key(CONFIG), *keys.values()}) == len(keys)  # the key now is that of the other versions
    monkeypatch.undo()
    assert len({ASKED.key(CONFIG), *keys.values()}) == 1 + len(keys)


# The machine, told without torch.


@pytest.mark.parametrize(
    ("cores", "n_gpus", "cpus", "gpus", "beside"),
    [(2, 0, 1, 0, 2), (16, 0, 1, 0, 8), (16, 1, 4, 1, 1), (16, 1, 4, 0.5, 2), (8, 4, 1, 1, 4), (1, 0, 4, 0, 1)],
)
def test_as_many_trials_are_timed_side_by_side_as_run_so(cores, n_gpus, cpus, gpus, beside):
    machine = Machine(processor="any", cores=cores, gpus=("H100",) * n_gpus)
    assert machine.beside(cpus, gpus, most=8) == beside


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    for number in range(2):
        (tmp_path / f"nvidia{number}").touch()
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "information").write_text(f"Model: \t\t H{number}00\nIRQ: 3\n")
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(machines, "DEVICES", tmp_path)
    monkeypatch.setattr(machines, "GPU_RECORDS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("two_gpus")
def test_gpus_are_those_of_the_driver_that_are_not_hidden(monkeypatch):
    assert this_machine().gpus == ("H000", "H100")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert len(this_machine().gpus) == 1
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert this_machine().gpus == ()


def test_a_machine_without_the_drivers_records_has_no_gpu_and_a_processor_all_the_same(tmp_path, monkeypatch):
    for name in ("DEVICES", "GPU_RECORDS", "PROCESSORS"):
        monkeypatch.setattr(machines, name, tmp_path / "nowhere")
    machine = this_machine()
    assert machine.gpus == ()
    assert machine.processor
    assert machine.cores >= 1
