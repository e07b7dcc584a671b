"""What is shown while a machine is watched."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from infra.watchdog.journal import Charge, Place
from infra.watchdog.limits import Rent
from infra.watchdog.machine import ProviderError
from infra.watchdog.standing import Standing
from infra.watchdog.state import State
from infra.watchdog.view import EVERY, Glance, View
from tests.infra.watchdog.conftest import HOUR, LIMITS

NOW = 3.42 * HOUR
PLACE = Place(
    remote="x", into="y", host=None, port=None, ssh=None, rsync="rsync", python="python3", usd_per_hour=None
)
CHARGE = Charge(
    machine_id="abc",
    name="dermtune-focal",
    api_url="",
    place=PLACE,
    limits=replace(LIMITS, max_usd=40.0, deadline=12 * HOUR),
    state=State(rent=Rent(since=0.0, usd_per_hour=2.39), active=NOW - 40, begun=True, pulled=NOW - 130),
)
STANDING = Standing(n_trials=40, n_done=11, n_failed=1, over=False)


def glance(now=NOW, **more):
    return Glance(charge=CHARGE, standing=STANDING, driver=True, now=now, **more)


def test_a_log_has_a_line_when_something_changes_and_one_in_a_while():
    out = io.StringIO()
    view = View(Console(file=out, width=80))
    for seconds in (0, 30, 60):
        view.shows(glance(NOW + seconds))
    assert out.getvalue() == (
        "dermtune-focal (abc) a sweep runs; sweep 11 of 40 trials done, 1 failed; "
        "spent $8.17 of $40.00, 3.42 hours; deadline in 8 h 35 min; pulled 2 min ago; quiet 40 s of 30 min\n"
    )
    view.shows(replace(glance(NOW + 90), standing=replace(STANDING, n_done=12)))
    view.shows(replace(glance(NOW + 91), standing=replace(STANDING, n_done=12)))
    view.shows(replace(glance(NOW + 90 + EVERY), standing=replace(STANDING, n_done=12)))
    assert out.getvalue().count("\n") == 3


def test_a_warning_that_goes_on_is_not_repeated_at_each_look():
    out = io.StringIO()
    view = View(Console(file=out, width=80))
    for _ in range(3):
        view.warned("no answer")
        view.warned("rsync failed")
    assert out.getvalue() == "! no answer\n! rsync failed\n"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            {"phase": "ending", "reason": "cap"},
            "ending: the dollar cap is near; a sweep runs, results are made safe",
        ),
        ({"phase": "terminating", "reason": "finished"}, "terminating: the sweep is over"),
    ],
)
def test_the_phase_is_told_with_its_reason(state, said):
    out = io.StringIO()
    charge = replace(CHARGE, state=replace(CHARGE.state, **state))
    View(Console(file=out, width=80)).shows(replace(glance(), charge=charge))
    assert out.getvalue().startswith(f"dermtune-focal (abc) {said}; sweep 11 of 40")


def test_before_a_sweep_has_begun_the_time_that_it_has_for_that_is_told():
    out = io.StringIO()
    charge = replace(CHARGE, state=replace(CHARGE.state, begun=False, pulled=None))
    View(Console(file=out, width=80)).shows(replace(glance(), charge=charge, driver=False))
    assert out.getvalue().endswith("pulled nothing yet; no sweep yet 40 s of 2 h 00 min\n")


def test_a_fault_that_nobody_foresaw_is_told_from_what_goes_wrong_as_it_does():
    out = io.StringIO()
    view = View(Console(file=out, width=80))
    view.failed(ProviderError("no answer"))
    view.failed(KeyError("x"))
    assert out.getvalue() == "! no answer\n! a fault of the watchdog's own, it goes on: KeyError('x')\n"


def test_a_terminal_keeps_the_lines_in_place_and_leaves_none_behind():
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, legacy_windows=False)
    with View(console) as view:
        view.shows(glance())
        view.said("the sweep was told to stop in order")
    assert "the sweep was told to stop in order" in out.getvalue()
    assert "8 h 35 min" in out.getvalue()
