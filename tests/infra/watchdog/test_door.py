"""The door: its arguments, what it refuses, what a kill leaves, and the machines that nobody watches."""

import json
import sys
from datetime import datetime
from pathlib import Path

import pytest

from dermtune.durable import read_json
from infra.watchdog import watching
from infra.watchdog.__main__ import main
from infra.watchdog.journal import Journal
from infra.watchdog.runpod import KEY
from tests.infra.watchdog import fake_runpod
from tests.infra.watchdog.conftest import orphans, started

ROOT = Path(__file__).parents[3]


def test_a_watch_through_the_door_ends_with_the_machine_gone_and_code_0(door, rented, runpod, capsys, ran):
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
        (["--ssh", "ssh -i 'x"], "argument --ssh: must be a command and its options, got"),
        (["--rsync", ""], "argument --rsync: must be a command and its options, got ''"),
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
    with rented.driver(until=rented.into / "sweep.json"):
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

    monkeypatch.setattr(watching, "step", fails)
    assert main(door) == 3
    last = capsys.readouterr().err.splitlines()[-1]
    assert "abc STILL RUNS AND IS BILLED: the same command goes on" in last
    assert Journal(rented.here / "state").kept() == ["abc"]


def test_a_provider_that_does_not_answer_at_the_start_is_told_with_code_3(door, runpod, capsys, rented):
    runpod.before = lambda _: (500, {})
    assert main([*door, "--answer-seconds", "1"]) == 3
    assert "nobody watches what runs there: https://console.runpod.io" in capsys.readouterr().err


def test_after_a_kill_the_same_command_goes_on(killed, rented, runpod, capsys, ran):
    kept = rented.here / "state" / "abc"
    since = read_json(kept / "watch.json")["state"]["rent"]["since"]
    rented.finish("b" * 16)
    assert main(killed) == 0
    told = datetime.fromisoformat(read_json(kept / "report.json")["since"])
    assert told.timestamp() == int(since), "what it cost before the kill counts"
    assert "abc is watched again" in capsys.readouterr().out


def test_a_sigterm_leaves_the_machine_running_and_shouts_it(door, rented, runpod):
    with started(door, rented) as process:
        process.terminate()
        assert process.wait() == 3
    said = (rented.here / "log").read_text()
    assert "stopped by SIGTERM; abc STILL RUNS AND IS BILLED: the same command goes on" in said
    assert [*runpod.pods] == ["abc"]
    assert fake_runpod.KEY not in said


def test_the_key_is_in_no_file_and_in_no_word(door, rented, capsys, ran):
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


def test_a_new_key_of_the_same_account_goes_on(killed, rented, runpod, monkeypatch, ran):
    monkeypatch.setenv(KEY, "a-new-one")
    monkeypatch.setattr(fake_runpod, "KEY", "a-new-one")
    rented.finish("b" * 16)
    assert main(killed) == 0


def test_a_machine_is_asked_for_where_it_was(killed, runpod, capsys):
    with fake_runpod.serving() as other:
        assert main([*killed, "--api-url", other.url]) == 2
    assert f"--api-url must be {runpod.url}, where abc was, got {other.url}" in capsys.readouterr().err


def test_a_machine_that_lets_nobody_in_is_refused_at_once_not_at_the_end(door, rented, runpod, capsys):
    rented.ssh.write_text('#!/bin/sh\necho "root@machine: Permission denied (publickey)." >&2\nexit 255\n')
    assert main(door) == 2
    assert "ssh must be let in: root@machine ended with code 255" in capsys.readouterr().err
    assert Journal(rented.here / "state").kept() == []


def test_a_machine_at_the_providers_address_must_say_which_pod_it_is(door, rented, runpod, capsys):
    at = door.index("--host")
    assert main([*door[:at], *door[at + 2 :]]) == 2
    assert "root@192.0.2.7 must be abc, and cannot say which pod it is" in capsys.readouterr().err
    assert Journal(rented.here / "state").kept() == []


def test_what_an_earlier_form_has_written_down_is_gone_on_with(killed, rented, ran):
    path = rented.here / "state" / "abc" / "watch.json"
    watch = read_json(path)
    for name in ("account", "address", "is_named"):
        del watch[name]
    for name in ("begun", "driver", "trace", "heard", "shouted"):
        del watch["state"][name]
    for name in ("start", "persists"):
        del watch["limits"][name]
    path.write_text(json.dumps(watch))
    rented.finish("b" * 16)
    assert main(killed) == 0


def test_a_fault_before_a_machine_is_watched_never_ends_with_the_code_of_one_that_is_gone(
    door, monkeypatch, capsys
):
    def fails(*_, **__):
        raise RuntimeError("none foresaw this")

    monkeypatch.setattr("infra.watchdog.__main__.adopt", fails)
    assert main(door) == 3
    assert "abc STILL RUNS AND IS BILLED" in capsys.readouterr().err


def test_the_help_fits_a_page_and_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    page = capsys.readouterr().out
    assert len(page.splitlines()) <= 50
    assert {"exit codes:", "examples:", "environment:"} <= {
        line[: line.find(":") + 1] for line in page.splitlines()
    }
