"""How the commands meet their user: help that teaches, and one line with an exit code for what is bad."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from typing_extensions import override


class Parser(argparse.ArgumentParser):
    """Keeps the layout of its texts, takes no abbreviated options, and refuses bad arguments in one line."""

    def __init__(self, *, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help says more\n")


def whole_number(text: str) -> int:
    """The number, at least 1, that an option was given."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def file_path(text: str) -> Path:
    """The file to write that an option was given."""
    if not Path(text).name:
        raise argparse.ArgumentTypeError(f"must name a file, got {text!r}")
    return Path(text)


def refuse(prog: str, why: str, code: int = 2) -> int:
    """The exit code, after standard error has the reason in one line."""
    sys.stderr.write(f"{prog}: {' '.join(why.splitlines())}\n")
    return code
