"""Machines that nobody watches: what a kill leaves, how it is found, and how it is ended."""

import json
import signal

from dermtune.durable import read_json
from infra.watchdog import decision
from infra.watchdog.__main__ import main
from infra.watchdog.journal import Journal
from infra.watchdog.runpod import KEY
from tests.infra.watchdog import fake_runpod
from tests.infra.watchdog.conftest import orphans, started


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


def test_another_machines_watch_tells_of_the_orphan_and_leaves_it_alone(killed, rented, runpod, capsys, ran):
    runpod.rent("xyz")
    rented.finish("b" * 16)
    assert main(["run", "xyz", *killed[2:]]) == 0
    assert [*runpod.pods] == ["abc"]
    out = capsys.readouterr().out
    assert "! nobody watches dermtune-abc (abc): RUNNING" in out
    assert "! Machines run that nobody watches: python -m infra.watchdog orphans" in out


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


def test_an_orphan_that_went_away_meanwhile_is_closed(killed, rented, runpod, capsys, monkeypatch):
    monkeypatch.setattr(decision, "LOST", 0.5)
    runpod.pods.clear()
    rented.away()
    assert main(orphans(killed)) == 1
    assert "dermtune-abc (abc): in no list of the provider" in capsys.readouterr().out
    assert main(orphans(killed, "--terminate")) == 1
    assert main(orphans(killed)) == 0
    assert read_json(rented.here / "state" / "abc" / "report.json")["gone"] is True


def test_what_goes_wrong_with_one_orphan_keeps_none_of_the_others_from_being_ended(
    killed, rented, runpod, capsys, monkeypatch
):
    watch = rented.here / "state" / "abc" / "watch.json"
    for other in ("aaa", "zzz"):
        runpod.rent(other)
        (rented.here / "state" / other).mkdir()
    (rented.here / "state" / "aaa" / "watch.json").write_text("{")
    (rented.here / "state" / "zzz" / "watch.json").write_text(watch.read_text().replace('"abc"', '"zzz"'))
    assert main(orphans(killed, "--terminate")) == 3
    assert [*runpod.pods] == ["aaa"]
    assert "! aaa STILL RUNS AND IS BILLED: nobody knows where its results are" in capsys.readouterr().out


def test_an_orphan_whose_deadline_is_long_over_is_left_where_its_results_cannot_be_saved(killed, rented, runpod):
    """By a deadline of a day ago it could be ended at once."""
    rented.away()
    path = rented.here / "state" / "abc" / "watch.json"
    watch = read_json(path)
    watch["state"]["rent"]["since"] -= 34 * 3600
    watch["limits"]["grace"] = 0.5
    path.write_text(json.dumps(watch))
    assert main(orphans(killed, "--terminate")) == 3
    assert [*runpod.pods] == ["abc"]


def test_another_accounts_key_does_not_close_the_books_on_a_machine(killed, rented, runpod, capsys, monkeypatch):
    monkeypatch.setenv(KEY, "of-another-account")
    monkeypatch.setattr(fake_runpod, "KEY", "of-another-account")
    runpod.pods.clear()
    assert main(killed) == 2
    assert "the key must be of the account where abc was" in capsys.readouterr().err
    assert main(orphans(killed, "--terminate")) == 3
    assert Journal(rented.here / "state").kept() == ["abc"]


def test_what_is_kept_of_a_machine_and_cannot_be_read_hides_no_orphan(killed, rented, runpod, capsys):
    (rented.here / "state" / "abc" / "watch.json").write_text("{")
    assert main(orphans(killed)) == 1
    assert "watch.json must say how abc is watched" in capsys.readouterr().out
