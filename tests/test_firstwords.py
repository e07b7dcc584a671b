"""What is said of a first stage."""

import io

import pytest
from rich.console import Console

from dermtune.firstwords import print_none
from dermtune.selection import Selection, Tried


def selection(*states, stage="search"):
    tried = [
        Tried(number=n, name=f"p{n}", levers={}, trial_ids=(str(n),), state=state, epochs=4, scores={})
        for n, state in enumerate(states)
    ]
    return Selection(
        stage=stage, metric="top1", objectives=("top1",), seeds=(1000,), epochs=4, tried=tuple(tried), picks=()
    )


@pytest.mark.parametrize(
    ("of", "what"),
    [
        (selection("done", "failed", "failed"), "the same command tries what failed again"),
        (selection("done", "pruned", "failed"), "the same command tries what failed again"),
        (selection("done", "failed", stage="screen"), "the same command tries what failed again"),
        (selection("done", "pruned", "pruned"), "raise `n_points`, and `grace_epochs` with it"),
        (selection("done", "done"), "every point has the baseline's levers"),
    ],
)
def test_where_nothing_can_be_confirmed_it_is_said_what_would_help(of, what):
    out = io.StringIO()
    print_none(of, Console(file=out))
    (line,) = out.getvalue().splitlines()
    assert line.startswith("Nothing can be confirmed: of ")
    assert what in line
