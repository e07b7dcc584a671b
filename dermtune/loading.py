"""A user's own Python files: a sweep file gives a `Sweep`, a recipe file a `Recipe`."""

import traceback
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from dermtune.config import UserError
from dermtune.plan import Sweep
from dermtune.recipes import RECIPES, Recipe

T = TypeVar("T")


class LoadingError(UserError):
    """A file that gives no sweep or recipe; the message names the file and the line."""


def load_sweep(path: Path) -> tuple[Sweep, str]:
    """The sweep that the file's `sweep()` returns, and the question: its docstring's first line, or nothing.

    Raises LoadingError.
    """
    module = _load(path, "a sweep file such as sweeps/focal_ls.py")
    question = (module.__doc__ or "").strip().partition("\n")[0]
    return _returned(module, path, "sweep", Sweep), question


def load_recipe(name_or_file: str) -> Recipe:
    """The recipe of that name, or the one that the file's `recipe()` returns. Raises LoadingError."""
    if name_or_file in RECIPES:
        return RECIPES[name_or_file]()
    known = f"{', '.join(RECIPES)} or a Python file with recipe()"
    if not name_or_file.endswith(".py"):
        raise LoadingError(f"the recipe must be {known}, got {name_or_file!r}")
    path = Path(name_or_file)
    return _returned(_load(path, known), path, "recipe", Recipe)


def _load(path: Path, wanted: str) -> ModuleType:
    """The file run as a module of its own, which is put nowhere: no bytecode of it can go stale."""
    if path.suffix != ".py" or not path.is_file():
        raise LoadingError(f"{path}: there must be {wanted}, got {_what_is_at(path)}")
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise LoadingError(_where_and_what(path, error)) from error
    return module


def _returned(module: ModuleType, path: Path, function: str, kind: type[T]) -> T:
    make = getattr(module, function, None)
    if not callable(make):
        raise LoadingError(f"{path}: must define {function}() that returns a {kind.__name__}, it defines none")
    try:
        made = make()
    except (Exception, SystemExit) as error:
        raise LoadingError(_where_and_what(path, error)) from error
    if not isinstance(made, kind):
        raise LoadingError(f"{path}: {function}() must return a {kind.__name__}, got {type(made).__name__}")
    return made


def _what_is_at(path: Path) -> str:
    return "a folder" if path.is_dir() else "another file" if path.exists() else "nothing"


def _where_and_what(path: Path, error: BaseException) -> str:
    """One line: the file, the last of its lines that was running, and what was raised."""
    if isinstance(error, SyntaxError):
        line = f", line {error.lineno}" if error.lineno else ""
        return f"{error.filename or path}{line}: must be Python, got {error.msg}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    where = f"{path}, line {frames[-1].lineno}" if frames else f"{path}"
    what = " ".join(str(error).split())
    # Our own errors speak for themselves; a foreign one needs its name.
    return (
        f"{where}: {what}" if type(error).__module__.startswith("dermtune.") else f"{where}: {_named(error, what)}"
    )


def _named(error: BaseException, what: str) -> str:
    return f"{type(error).__name__}: {what}" if what else type(error).__name__
