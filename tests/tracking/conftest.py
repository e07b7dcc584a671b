"""A planned sweep with an empty folder, and a store of its own."""

import pytest

from dermtune.ledger import SweepFolder
from dermtune.tracking import exporter
from tests.tracked_sweep import planned


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """A busy machine may take its time, where a test is not about time."""
    monkeypatch.setattr(exporter, "HURRY_SECONDS", 60.0)
    monkeypatch.setattr(exporter, "PATIENCE_SECONDS", 60.0)


@pytest.fixture
def sweep(tmp_path):
    the_plan = planned()
    return the_plan, SweepFolder(tmp_path / the_plan.folder_name)


@pytest.fixture
def uri(tmp_path):
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
