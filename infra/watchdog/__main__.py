"""The door: `python -m infra.watchdog run POD_ID` watches a rented machine to its end."""

import os
import sys
import traceback
from collections.abc import Sequence
from functools import partial

from rich.console import Console

from analysis.commandline import refuse
from dermtune.signals import Signals, Stopped
from dermtune.validation import UserError
from infra.watchdog import arguments
from infra.watchdog.adopting import adopt
from infra.watchdog.arguments import PROG, Orphans, Run
from infra.watchdog.clearing import clear
from infra.watchdog.clock import Clock
from infra.watchdog.guarding import Post, guard
from infra.watchdog.journal import Journal
from infra.watchdog.machine import ProviderError
from infra.watchdog.orphans import orphans
from infra.watchdog.report import CONSOLE_URL
from infra.watchdog.runpod import KEY, Patience, RunPod
from infra.watchdog.view import View


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code; its `--help` says what each means."""
    asked, signals = arguments.parse(argv), Signals()
    try:
        with signals.heard():
            post = _post(asked)
            return clear(post, asked) if isinstance(asked, Orphans) else _run(post, asked)
    except UserError as error:
        return refuse(PROG, str(error))
    except ProviderError as error:
        return refuse(PROG, f"{error}; nobody watches what runs there: {CONSOLE_URL}", code=3)
    except OSError as error:
        return refuse(PROG, f"{error}; {_left(asked)}", code=3)
    except Stopped:
        return refuse(PROG, f"stopped by {signals.name}; {_left(asked)}", code=3)
    except Exception:  # noqa: BLE001 whatever it is, what runs runs on, and that is what must be read
        traceback.print_exc()
        return refuse(PROG, _left(asked), code=3)


def _post(asked: Run | Orphans) -> Post:
    key = os.environ.get(KEY)
    if not key:
        raise UserError(f"{KEY} must hold a key of the provider, it is not set")
    patience, console = Patience(timeout=asked.common.answer), Console()
    return Post(
        provider=RunPod(key, url=asked.common.api_url, patience=patience),
        journal=Journal(asked.common.state),
        common=asked.common,
        console=console,
        clock=Clock(partial(console.print, style="bold yellow", markup=False)),
        json=asked.json if isinstance(asked, Run) else None,
    )


def _run(post: Post, asked: Run) -> int:
    view = View(post.console)
    with post.journal.alone(asked.machine_id):
        charge = adopt(asked, post.provider, post.journal, view, post.clock())
        try:
            _tell_orphans(post, asked, view)
            return guard(post, charge, view).exit_code
        except Exception:  # noqa: BLE001 it is watched from here on: no fault is bad input any more
            traceback.print_exc()
            return refuse(PROG, _left(asked), code=3)


def _tell_orphans(post: Post, asked: Run, view: View) -> None:
    """Say which other machines nobody watches, before this one is watched for hours."""
    try:
        found = orphans(post.provider, post.journal, asked.common.prefix)
    except Exception as error:  # noqa: BLE001 the others are no reason to leave this one
        view.failed(error)
        return
    for orphan in found:
        if orphan.machine_id != asked.machine_id:
            view.warned(f"nobody watches {orphan}")


def _left(asked: Run | Orphans) -> str:
    """What runs on as this process ends, and what to do about it."""
    which = asked.machine_id if isinstance(asked, Run) else "what is listed"
    return f"{which} STILL RUNS AND IS BILLED: the same command goes on, or end it by hand at {CONSOLE_URL}"


if __name__ == "__main__":
    sys.exit(main())
