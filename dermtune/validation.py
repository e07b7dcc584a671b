"""How a record refuses what it is given: one line that says what must hold and what came."""

from dataclasses import fields, is_dataclass
from typing import Any, get_args


class UserError(ValueError):
    """What the user can set right: the message says what must hold, what came, and where."""


class PlanError(UserError):
    """A sweep that cannot be planned; the message says what must hold and what came."""


class ConfigError(UserError):
    """A value that cannot be trained with; the message says what must hold and what came."""


def require(holds: bool, name: str, must: str, got: object) -> None:
    """Raises ConfigError unless it holds."""
    if not holds:
        raise ConfigError(f"`{name}` must {must}, got {got!r}")


def require_choice(name: str, choices: Any, got: object) -> None:
    """Raises ConfigError where the value is none of a Literal's."""
    require(got in get_args(choices), name, f"be one of {', '.join(map(repr, get_args(choices)))}", got)


def require_types(record: Any) -> None:
    """Raises ConfigError unless numbers, texts and records stand where they belong, whole numbers in int fields.

    Floats are stored as floats.
    """
    for f in fields(record):
        got = getattr(record, f.name)
        if f.type is float:
            real = isinstance(got, int | float) and not isinstance(got, bool)
            require(real and abs(got) < float("inf"), f.name, "be a finite number", got)
            object.__setattr__(record, f.name, float(got))
        elif f.type is int:
            require(isinstance(got, int) and not isinstance(got, bool), f.name, "be a whole number", got)
        elif f.type is bool:
            require(isinstance(got, bool), f.name, "be True or False", got)
        elif f.type is str:
            require(isinstance(got, str), f.name, "be a text", got)
        elif isinstance(f.type, type) and is_dataclass(f.type):
            require(isinstance(got, f.type), f.name, f"be a {f.type.__name__}", got)
