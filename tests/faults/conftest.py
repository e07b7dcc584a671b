"""A tiny sweep through the real door; its images are drawn once for all tests."""

import psutil
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


@pytest.fixture
def under_way():
    """Starts the command; whatever the test does, nothing is left of it."""
    drivers = []

    def start(tiny, *more, **options):
        drivers.append(tiny.start(*more, **options))
        return drivers[-1]

    yield start
    for driver in drivers:
        if driver.poll() is None:
            for process in psutil.Process(driver.pid).children(recursive=True):
                process.kill()
            driver.kill()
        driver.communicate()
