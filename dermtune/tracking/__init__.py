"""The sweep's folder as MLflow shows it. The folder is the truth, MLflow a view of it that may lag behind.

`views` reads from the folder what a run should show, `store` is the only file that imports mlflow, `mirror` makes
the one equal to the other, and `exporter` calls it from a thread of the driver.
"""

from dermtune.tracking.exporter import Exporter
from dermtune.tracking.views import Chosen

__all__ = ["Chosen", "Exporter"]
