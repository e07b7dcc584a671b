"""The sweep's folder as MLflow shows it. The folder is the truth, MLflow a view of it that may lag behind.

`views` reads from the folder what a run should show, `store` is the only file that imports mlflow, `mirror` makes
the one equal to the other for each trial of the `backlog`, `exporter` has that done in a thread of the driver, and
`patience` says how long it may take and `reasons` why it did not.
"""

from dermtune.tracking.exporter import Exporter
from dermtune.tracking.views import Chosen, Status

__all__ = ["Chosen", "Exporter", "Status"]
