"""URIs of MLflow's stores and of storages: which there are, where to look, and how one is told without secrets."""

import argparse
import os
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

SERVERS = ("http", "https")
STORES = (*SERVERS, "sqlite", "postgresql", "mysql", "mssql", "databricks")
"""What MLflow can be reached by; a driver's name may follow: `postgresql+psycopg2`."""
SECRETS = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "HF_TOKEN",
)
"""Environment variables that a server may echo in what it answers."""
STORAGE_SETTINGS = ("endpoint_override", "region", "scheme")
"""What may stand behind the `?` of an S3 URI; all else comes from each node's environment."""
HIDDEN = "***"

_SECRET_KEY = re.compile(r"pass|pwd|token|secret|key|signature|credential", re.IGNORECASE)


def tracking_uri(text: str) -> str:
    """The URI that an option was given."""
    scheme = urlsplit(text).scheme.partition("+")[0]
    if scheme not in STORES:
        kinds = ", ".join(f"{store}:" for store in STORES)
        raise argparse.ArgumentTypeError(f"must begin with one of {kinds}, got {scheme or 'none of them'!r}")
    return text


def storage_uri(text: str) -> str:
    """The URI of a storage that an option was given: no secret may stand in it, all nodes get it."""
    parts = urlsplit(text)
    if "@" in text:
        raise argparse.ArgumentTypeError(
            "must hold no user and no password: they belong into each node's environment, AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    unknown = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} - {*STORAGE_SETTINGS}
    if unknown or (parts.query and parts.scheme != "s3"):
        raise argparse.ArgumentTypeError(f"may set {', '.join(STORAGE_SETTINGS)} of S3, and nothing else")
    there = {"s3": bool(parts.netloc), "file": parts.path.startswith("/") and not parts.netloc}
    if not there.get(parts.scheme, False):
        raise argparse.ArgumentTypeError(f"must be s3://BUCKET/PREFIX or file:///FOLDER, got {text!r}")
    return text


def shown(uri: str) -> str:
    """The URI as it may be printed: without user, password and tokens."""
    return without_secrets(uri, uri)


def without_secrets(text: str, uri: str) -> str:
    """The text without what is secret in the URI or in this process's environment."""
    for user in _users(uri):
        text = text.replace(user, "")
    for secret in sorted({*_secrets(uri)}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def where_to_look(uri: str) -> str:
    """The address of MLflow's UI, or the command that opens it."""
    named = shown(uri)
    return named if urlsplit(uri).scheme in SERVERS else f"mlflow ui --backend-store-uri {named}"


def _users(uri: str) -> Iterator[str]:
    """`user:password@`; where the password has a `/` that should have been escaped, all before the last `@`."""
    scheme, separator, rest = uri.partition("://")
    if separator and "@" in rest and scheme.partition("+")[0] not in ("sqlite", "file"):
        yield f"{rest.rpartition('@')[0]}@"


def _secrets(uri: str) -> Iterator[str]:
    for user in _users(uri):
        password = user.removesuffix("@").partition(":")[2]
        yield from filter(None, (password, unquote(password)))
    yield from (value for key, value in parse_qsl(urlsplit(uri).query) if _SECRET_KEY.search(key))
    yield from filter(None, map(os.environ.get, SECRETS))
