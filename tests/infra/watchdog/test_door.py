"""The door: its arguments, what it refuses, what a kill leaves, and the machines that nobody watches."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from dermtune.durable import read_json
from infra.watchdog import arguments, watching
from infra.watchdog.__main__ import main
from infra.watchdog.adopting import adopt
from infra.watchdog.journal import Journal
from infra.watchdog.runpod import KEY, Patience, RunPod
from infra.watchdog.view import View
from tests.infra.watchdog import fake_runpod
from tests.tiny_sweep import wait_until

ROOT = Path(__file__).parents[3]


def orphans(door, *more):
    at = door.index("--state")
    return ["orphans", *door[at:], *more]


def test_a_watch_through_the_door_ends_with_the_machine_gone_and_code_0(door, rented, runpod, capsys):
    rented.finish()
    assert main([*door, "--json", str(rented.here / "report.json")]) == 0
    assert runpod.pods == {}
    assert rented.same()
    assert read_json(rented.here / "report.json")["exit_code"] == 0
    assert "dermtune-abc (abc): gone" in capsys.readouterr().out
    assert main(orphans(door)) == 0


def test_a_journal_that_cannot_be_read_is_refused_before_anything_is_asked(door, rented, runpod, capsys):
    rented.finish()
    state = rented.here / "state" / "abc"
    state.mkdir(parents=True)
    (state / "watch.json").mkdir()
    assert main(door) == 2
    assert "watch.json must say how abc is watched" in capsys.readouterr().err
    assert runpod.asked == []


def test_the_key_is_asked_for_by_name(door, monkeypatch, capsys):
    monkeypatch.delenv(KEY)
    assert main(door) == 2
    assert capsys.readouterr().err == f"dermtune-watchdog: {KEY} must hold a key of the provider, it is not set\n"


def test_a_key_that_is_refused_is_bad_input(door, monkeypatch, capsys, rented):
    monkeypatch.setenv(KEY, "wrong")
    assert main(door) == 2
    assert f"{KEY} must be a key that" in capsys.readouterr().err
    assert Journal(rented.here / "state").kept() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--max-usd", "0"], "argument --max-usd: must be a number above 0, got '0'"),
        (["--deadline-hours", "soon"], "argument --deadline-hours: must be a number above 0, got 'soon'"),
        (["--api-url", "http://rest.runpod.io/v1"], "argument --api-url: must begin with https://"),
        (["--host", "root@machine:22"], "argument --host: must be a host or user@host"),
        (["--host", "-oProxyCommand=x"], "argument --host: expected one argument"),
        (["--remote", "/"], "argument --remote: must be a sweep's folder, got '/'"),
        (
            ["--deadline-hours", "0.1"],
            "the deadline must be further away than --grace-minutes 10: abc has run for 0.00",
        ),
        (["--max-usd", "0.2"], "the cap must be further away than --grace-minutes 10: abc has run for 0.00"),
        (["--rsync", "no-such-rsync -z"], "no-such-rsync must be a command of this computer, there is none"),
    ],
)
def test_bad_input_is_refused_in_a_line_with_code_2_and_nothing_is_watched(
    door, change, said, capsys, rented, runpod
):
    try:
        code = main([*door, *change])
    except SystemExit as left:
        code = left.code
    error = capsys.readouterr().err
    assert (code, error.count("\n"), said in error) == (2, 1, True), error
    assert Journal(rented.here / "state").kept() == []
    assert "DELETE /pods/abc" not in runpod.asked


def test_a_pod_that_the_account_lacks_is_bad_input(door, runpod, capsys):
    runpod.pods.clear()
    assert main(door) == 2
    assert "abc must be a machine of this account" in capsys.readouterr().err


def test_a_cap_needs_a_price_that_somebody_tells(door, runpod, rented, capsys):
    rented.finish()
    runpod.pods["abc"]["costPerHr"] = 0
    assert main([*door, "--max-usd", "20"]) == 2
    assert "--max-usd needs a price" in capsys.readouterr().err
    assert main([*door, "--max-usd", "20", "--usd-per-hour", "2"]) == 0


def test_a_machine_without_rsync_is_refused_at_once_not_at_the_end(door, rented, capsys):
    tools = rented.here / "tools"
    tools.mkdir()
    (tools / "python").symlink_to(sys.executable)
    rented.ssh.write_text(rented.ssh.read_text().replace("exec sh", f"PATH={tools} exec /bin/sh"))
    assert main(door) == 2
    assert "rsync must be on abc, there is none: apt-get install rsync there" in capsys.readouterr().err


def test_a_host_that_is_another_pod_is_refused_before_its_results_could_be_taken_for_this_ones(
    door, monkeypatch, capsys
):
    monkeypatch.setenv("RUNPOD_POD_ID", "somebody-elses")
    assert main(door) == 2
    assert "root@machine must be abc, and says that it is somebody-elses" in capsys.readouterr().err


def test_whatever_goes_wrong_in_the_middle_the_last_line_is_that_the_machine_runs(
    door, monkeypatch, capsys, rented
):
    def fails(*_):
        raise ValueError("a fault of the watchdog's own")

    monkeypatch.setattr(watching, "standing", fails)
    assert main(door) == 3
    last = capsys.readouterr().err.splitlines()[-1]
    assert "abc STILL RUNS AND IS BILLED: the same command goes on" in last
    assert Journal(rented.here / "state").kept() == ["abc"]


def test_a_provider_that_does_not_answer_at_the_start_is_told_with_code_3(door, runpod, capsys, rented):
    runpod.before = lambda _: (500, {})
    assert main([*door, "--answer-seconds", "1"]) == 3
    assert "nobody watches what runs there: https://console.runpod.io" in capsys.readouterr().err


@contextmanager
def started(door, rented):
    """The watchdog as a process of its own, after its first pull."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), KEY: fake_runpod.KEY}
    command = [sys.executable, "-m", "infra.watchdog", *door]
    with (rented.here / "log").open("w") as log, rented.driver():
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=rented.here)
        try:
            wait_until(
                lambda: process.poll() is not None or (rented.into / "sweep.json").exists(), "the first pull"
            )
            assert process.poll() is None, (rented.here / "log").read_text()
            yield process
        finally:
            process.kill()
            process.wait()


def test_kill_9_in_the_middle_leaves_an_orphan_that_the_next_start_finds_and_ends_with_its_results(
    door, rented, runpod, capsys
):
    rented.finish("a" * 16)
    with started(door, rented) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert main(orphans(door)) == 1
    assert "dermtune-abc (abc): RUNNING, $2 an hour; its watchdog was killed" in capsys.readouterr().out
    assert runpod.pods, "to list them ends none"
    rented.finish("b" * 16)
    assert main(orphans(door, "--terminate")) == 0
    assert runpod.pods == {}
    assert rented.same()
    assert main(orphans(door)) == 0


@pytest.fixture
def killed(door, rented, runpod):
    """What kill -9 leaves of a watch: the machine, and what was written down of it."""
    rented.finish("a" * 16)
    asked = arguments.parse(door)
    provider = RunPod(fake_runpod.KEY, url=runpod.url, patience=Patience(timeout=20))
    view = View(Console(file=io.StringIO()))
    adopt(asked, provider, Journal(asked.common.state), view, time.time())
    return door


def test_after_a_kill_the_same_command_goes_on(killed, rented, runpod, capsys):
    kept = rented.here / "state" / "abc"
    since = read_json(kept / "watch.json")["state"]["rent"]["since"]
    rented.finish("b" * 16)
    assert main(killed) == 0
    told = datetime.fromisoformat(read_json(kept / "report.json")["since"])
    assert told.timestamp() == int(since), "what it cost before the kill counts"
    assert "abc is watched again" in capsys.readouterr().out


def test_another_machines_watch_tells_of_the_orphan_and_leaves_it_alone(killed, rented, runpod, capsys):
    runpod.rent("xyz")
    rented.finish("b" * 16)
    assert main(["run", "xyz", *killed[2:]]) == 0
    assert [*runpod.pods] == ["abc"]
    out = capsys.readouterr().out
    assert "! nobody watches dermtune-abc (abc): RUNNING" in out
    assert "! Machines run that nobody watches: python -m infra.watchdog orphans" in out


def test_a_sigterm_leaves_the_machine_running_and_shouts_it(door, rented, runpod):
    with started(door, rented) as process:
        process.terminate()
        assert process.wait() == 3
    said = (rented.here / "log").read_text()
    assert "stopped by SIGTERM; abc STILL RUNS AND IS BILLED: the same command goes on" in said
    assert [*runpod.pods] == ["abc"]
    assert fake_runpod.KEY not in said


def test_the_key_is_in_no_file_and_in_no_word(door, rented, capsys):
    rented.finish()
    assert main([*door, "--json", str(rented.here / "report.json")]) == 0
    said = capsys.readouterr()
    files = [path for path in rented.here.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if fake_runpod.KEY.encode() in path.read_bytes()] == []
    assert fake_runpod.KEY not in said.out + said.err


def test_a_second_watch_of_one_machine_is_refused(door, rented, capsys):
    with Journal(rented.here / "state").alone("abc"):
        assert main(door) == 2
    assert "abc must have one watchdog" in capsys.readouterr().err


def test_a_machine_with_our_prefix_that_nobody_knows_is_an_orphan_and_ends_only_by_its_name(
    door, rented, runpod, capsys
):
    runpod.rent("zzz", name="somebody-elses")
    assert main(orphans(door)) == 1
    assert capsys.readouterr().out == (
        "dermtune-abc (abc): RUNNING, $2 an hour; no watchdog of this computer knows it\n"
    )
    assert main(orphans(door, "--terminate")) == 3
    assert "abc STILL RUNS AND IS BILLED: nobody knows where its results are" in capsys.readouterr().out
    assert main(orphans(door, "--abandon", "zzz")) == 2
    assert "--abandon must name a machine that nobody watches, zzz is none" in capsys.readouterr().err
    assert main(orphans(door, "--abandon", "abc", "--answer-seconds", "1")) == 1
    assert [*runpod.pods] == ["zzz"]
    assert "Ended by your word, its results given up" in capsys.readouterr().out


def test_an_orphan_whose_results_cannot_be_reached_is_left_running_and_shouted(killed, rented, runpod, capsys):
    rented.away()
    path = rented.here / "state" / "abc" / "watch.json"
    watch = read_json(path)
    watch["limits"]["grace"] = 0.5
    path.write_text(json.dumps(watch))
    assert main(orphans(killed, "--terminate")) == 3
    assert [*runpod.pods] == ["abc"]
    assert "STILL RUNS AND IS BILLED" in capsys.readouterr().out
    assert main(orphans(killed, "--terminate", "--abandon", "abc")) == 1
    assert runpod.pods == {}


def test_an_orphan_that_went_away_meanwhile_is_closed(killed, rented, runpod, capsys):
    runpod.pods.clear()
    assert main(orphans(killed)) == 1
    assert "dermtune-abc (abc): in no list of the provider" in capsys.readouterr().out
    assert main(orphans(killed, "--terminate")) == 1
    assert main(orphans(killed)) == 0
    assert read_json(rented.here / "state" / "abc" / "report.json")["gone"] is True


def test_what_is_kept_of_a_machine_and_cannot_be_read_hides_no_orphan(killed, rented, runpod, capsys):
    (rented.here / "state" / "abc" / "watch.json").write_text("{")
    assert main(orphans(killed)) == 1
    assert "watch.json must say how abc is watched" in capsys.readouterr().out


def test_the_help_fits_a_page_and_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    page = capsys.readouterr().out
    assert len(page.splitlines()) <= 50
    assert {"exit codes:", "examples:", "environment:"} <= {
        line[: line.find(":") + 1] for line in page.splitlines()
    }
