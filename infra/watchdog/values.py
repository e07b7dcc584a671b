"""What the watchdog's options may be given; each raises ArgumentTypeError for what they may not."""

import argparse
import math
import shlex
from pathlib import Path
from urllib.parse import urlsplit


def positive(text: str) -> float:
    """The number, above 0 and finite."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def command(text: str) -> str:
    """A command and its options, as a shell takes words apart."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a command and its options, got {text!r}: {error}") from None
    if not words or not words[0]:
        raise argparse.ArgumentTypeError(f"must be a command and its options, got {text!r}")
    return text


def url(text: str) -> str:
    """Where the key goes: in the clear to this computer alone."""
    parts = urlsplit(text)
    if not (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1"))
    ):
        raise argparse.ArgumentTypeError(f"must begin with https://, got {text!r}")
    return text


def host(text: str) -> str:
    """`host` or `user@host`, and no option of ssh."""
    if text.startswith("-") or ":" in text or not text:
        raise argparse.ArgumentTypeError(f"must be a host or user@host, a port has its own option, got {text!r}")
    return text


def folder(text: str) -> str:
    """A path that ends in a name."""
    if not Path(text).name or text.startswith("-") or "\0" in text:
        raise argparse.ArgumentTypeError(f"must be a sweep's folder, got {text!r}")
    return text
