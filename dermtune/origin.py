"""What trains a trial: the code's commit, the versions that can change its numbers, the machine."""

import functools
import importlib.metadata
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

RECORDED_PACKAGES = ("dermtune", "torch", "transformers", "accelerate", "numpy", "pillow", "ray")
"""Packages whose versions stand in a manifest: those that can change a trial's numbers or its run."""


def origin() -> dict[str, Any]:
    """What a manifest says of it: `commit`, `versions`, `host`."""
    return {
        "commit": _commit(),
        "versions": {name: _version(name) for name in RECORDED_PACKAGES} | {"python": platform.python_version()},
        "host": platform.node(),
    }


def differences(manifests: Iterable[Mapping[str, Any]], now: Mapping[str, Any]) -> Iterator[str]:
    """A clause for each thing in which what trained these trials is not what would train the next."""
    then = list(manifests)
    commits = {str(manifest["commit"])[:12] for manifest in then if manifest.get("commit")}
    if now["commit"] and commits - {now["commit"][:12]}:
        yield f"by commit {', '.join(sorted(commits))}, this is {now['commit'][:12]}"
    for package, version in now["versions"].items():
        others = {str(manifest.get("versions", {}).get(package, version)) for manifest in then} - {str(version)}
        if others:
            yield f"with {package} {', '.join(sorted(others))}, this is {version}"


@functools.cache
def _commit() -> str | None:
    """The checkout's commit, `+` behind it where files differ from it; None where dermtune is installed."""
    root = Path(__file__).parent
    git = ["git", "-C", str(root)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        state = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if state.stdout.strip() else "")


@functools.cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
