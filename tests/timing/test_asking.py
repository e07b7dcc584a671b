"""Timings on request: real steps of a tiny model in a process of its own, kept, and asked for again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dermtune.config import UserError
from dermtune.data.place import Place, no_progress
from dermtune.timing import Asked, TimingError, asking, kind_of, this_machine, time_kinds, timings_kept
from dermtune.timing.machine import Machine


@pytest.fixture(scope="module")
def timed(drawn, make_trial):
    """A timing of the tiny siglip and of the same with averaged weights, and what was told meanwhile."""
    asked = Asked(
        place=drawn.place, fingerprints={"data": drawn.fingerprint}, machine=this_machine(), cpus=1, gpus=0
    )
    arms = {
        name: make_trial(levers=levers).config
        for name, levers in {"baseline": {}, "focal": {"focal_gamma": 2.0}, "ema": {"ema": 0.9}}.items()
    }
    told = []
    found = time_kinds(arms, asked, lambda *what: told.append(what))
    return asked, arms, found, told


def test_one_of_each_kind_is_timed_and_the_steps_are_told_as_they_come(timed, drawn):
    _, arms, found, told = timed
    assert set(found) == {kind_of(arms["baseline"]), kind_of(arms["ema"])}
    assert kind_of(arms["focal"]) == kind_of(arms["baseline"])
    assert list(dict.fromkeys(what for what, _, _ in told)) == [
        "timing steps of baseline and its like",
        "timing steps of ema and its like",
    ]
    for timing in found.values():
        sizes = (timing.n_train, timing.n_val, timing.n_test)
        assert sizes == (len(drawn.data.train), len(drawn.data.val), len(drawn.data.test))
        assert 0 < timing.step.typical < timing.once, "a tiny step takes less than loading torch"
        assert (timing.device, timing.beside) == ("cpu", 1)
    assert told[-1][1] == told[-1][2] == list(found.values())[-1].n_steps


def test_the_second_time_nothing_is_trained(timed, monkeypatch):
    asked, arms, found, _ = timed
    monkeypatch.setattr(asking.subprocess, "Popen", None)
    assert timings_kept(arms.values(), asked) == found
    assert time_kinds(arms, asked, no_progress) == found
    other = replace(asked, machine=Machine(processor="another", cores=64))
    assert timings_kept(arms.values(), other) == {}


def test_nothing_stays_but_one_file_a_kind(timed):
    asked, arms, *_ = timed
    names = {path.name for path in asked.place.cache_dir.glob("*timing*")}
    assert names == {asked.file(arms["baseline"]).name, asked.file(arms["ema"]).name, "timing.lock"}


@pytest.mark.parametrize("content", ["", "{}", '{"step": 3}', "[1]"])
def test_a_file_that_holds_something_else_is_no_timing(timed, content, tmp_path):
    asked, arms, *_ = timed
    elsewhere = replace(asked, place=Place(data_dir=asked.place.data_dir, cache_dir=tmp_path))
    elsewhere.file(arms["ema"]).write_text(content)
    assert timings_kept(arms.values(), elsewhere) == {}


def test_an_arm_whose_model_lacks_a_part_is_named(timed, make_trial):
    asked, *_ = timed
    no_blocks = make_trial(levers={"tuning": "last_k", "tuned_blocks": 9}).config
    with pytest.raises(UserError, match=r"`tuned_blocks` must be at most 1 .* in arm 'deep'"):
        time_kinds({"deep": no_blocks}, asked, no_progress)


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """Has the next timing ask this program instead of one that trains."""

    def use(code):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{code}\n")
        program.chmod(0o755)
        monkeypatch.setattr(asking.sys, "executable", str(program))

    return use


@pytest.fixture
def unknown(timed):
    """Circumstances that nothing is kept of, and an arm."""
    asked, arms, *_ = timed
    return {"baseline": arms["baseline"]}, replace(asked, cpus=7)


def test_a_process_that_dies_ends_no_plan(worker, unknown):
    worker("exit 3")
    with pytest.raises(TimingError, match="the process that trained them ended with code 3"):
        time_kinds(*unknown, no_progress)


def test_what_goes_wrong_in_it_is_told_in_a_line(worker, unknown):
    worker("""echo '{"failed": "training loss is nan"}'""")
    with pytest.raises(TimingError, match=r"^training loss is nan$"):
        time_kinds(*unknown, no_progress)


def test_a_cache_that_cannot_be_written_ends_no_plan(unknown, tmp_path):
    arms, asked = unknown
    (tmp_path / "file").touch()
    place = Place(data_dir=asked.place.data_dir, cache_dir=tmp_path / "file")
    with pytest.raises(TimingError, match="must be a folder to keep decoded images in"):
        time_kinds(arms, replace(asked, place=place), no_progress)


def test_a_timing_that_never_ends_is_given_up(worker, unknown, monkeypatch):
    worker("exec sleep 600")
    monkeypatch.setattr(asking, "LIMIT", 0.2)
    with pytest.raises(TimingError, match="ended with code -9"):
        time_kinds(*unknown, no_progress)


def test_trials_that_run_side_by_side_are_timed_side_by_side_each_on_its_gpu(
    worker, unknown, timed, tmp_path, monkeypatch
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    arms, asked = unknown
    timing = json.dumps({"timing": next(iter(timed[2].values())).to_dict()})
    # each waits for the other two before it says what it found
    worker(
        f"""
        echo "$CUDA_VISIBLE_DEVICES" > {tmp_path}/started-$4
        while [ ! -e {tmp_path}/started-0 ] || [ ! -e {tmp_path}/started-1 ] || [ ! -e {tmp_path}/started-2 ]
        do sleep 0.01; done
        echo '{timing}'"""
    )
    three = replace(asked, machine=Machine(processor="any", cores=9, gpus=("H100",) * 2), gpus=0.5, beside=3)
    [found] = time_kinds(arms, three, no_progress).values()
    assert found.beside == 3
    gpus = [Path(tmp_path / f"started-{n}").read_text().strip() for n in range(3)]
    assert gpus == ["0", "0", "1"]
