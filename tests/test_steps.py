"""What is done before the first trial is seen: a bar in a terminal, a line in a log."""

import io

from rich.console import Console

from dermtune.steps import steps


def shown(*, terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)
    with steps(console) as progress:
        for done in (0, 1000, 2000):
            progress("decoding images", done, 2000)
        progress("hashing images", 2000, 2000)
    return console.file.getvalue()


def test_a_log_gets_one_line_a_step_with_its_size():
    assert shown(terminal=False).split("\n") == ["decoding images: 2,000", "hashing images: 2,000", ""]


def test_a_terminal_sees_how_far_each_step_is_and_nothing_stays_behind():
    seen = shown(terminal=True)
    assert "decoding images" in seen
    assert "2000/2000" in seen
    assert seen.endswith("\x1b[2K")  # the bars' lines are erased
