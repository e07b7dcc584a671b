"""A file that nothing may make, and a short folder for what Ray writes."""

import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def canary(tmp_path):
    """A file that nothing may make."""
    yield tmp_path / "canary"
    assert not (tmp_path / "canary").exists(), "something was unpickled or run"


@pytest.fixture(scope="module")
def short():
    """A folder for what Ray leaves: the path of a socket has at most 107 letters."""
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
