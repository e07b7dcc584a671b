"""A planned sweep with an empty folder, and a store of its own."""

import pytest

from dermtune.ledger import SweepFolder
from tests.tracked_sweep import planned


@pytest.fixture
def sweep(tmp_path):
    the_plan = planned()
    return the_plan, SweepFolder(tmp_path / the_plan.folder_name)


@pytest.fixture
def uri(tmp_path):
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
