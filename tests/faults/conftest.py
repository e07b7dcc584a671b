"""A tiny sweep through the real door; its images are drawn once for all tests."""

import pytest

from tests.tiny_sweep import TinySweep


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def tiny(tmp_path, shared):
    return TinySweep.written(tmp_path / "here", shared)


@pytest.fixture(scope="session")
def calm(tmp_path_factory, shared):
    """The same sweep where nothing happened."""
    tiny = TinySweep.written(tmp_path_factory.mktemp("calm"), shared)
    assert tiny.run().returncode == 0
    return tiny
