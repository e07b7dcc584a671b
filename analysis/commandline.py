"""How both commands meet their user: help that teaches, and one line with an exit code for what is bad."""

import argparse
import sys
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


def refuse(prog: str, why: str, code: int = 2) -> int:
    """The exit code, after standard error has the reason in one line."""
    sys.stderr.write(f"{prog}: {' '.join(why.splitlines())}\n")
    return code
