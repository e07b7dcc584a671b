"""A sweep of seconds through the real door, in processes of their own that a test may do anything to."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]

RECIPE = """
from dermtune.config import Config, DataConfig, ModelConfig, SyntheticConfig, TrainingConfig
from dermtune.recipes import Recipe


def recipe():
    return Recipe(
        name="tiny",
        config=Config(
            data=DataConfig(
                image_suffix=".png",
                group_column="lesion_id",
                image_size=16,
                synthetic=SyntheticConfig(n_train=200, n_test=100, image_size=16),
            ),
            model=ModelConfig(
                architecture="resnet",
                settings={"embedding_size": 8, "hidden_sizes": [8], "depths": [1], "layer_type": "basic"},
            ),
            training=TrainingConfig(epochs=4, batch_size=64),
        ),
    )
"""

QUESTION = '''"""Does focal loss lift the long tail?"""

from dermtune.plan import Sweep


def sweep():
    return Sweep(
        name="tiny", grid={"focal_gamma": (0.0, 2.0)}, baseline={"focal_gamma": 0.0}, seeds=range(2)
    )
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class TinySweep:
    """Two arms with two seeds each, in a working directory of their own."""

    here: Path
    """Working directory of the commands: question, recipe, `runs/` and `mlflow.db`."""
    shared: Path
    """Drawn images and their cache, made once for many sweeps."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's."""

    @classmethod
    def written(cls, here: Path, shared: Path, *, question: str = QUESTION, recipe: str = RECIPE) -> "TinySweep":
        """The sweep in an empty folder."""
        here.mkdir(parents=True, exist_ok=True)
        (here / "recipe.py").write_text(recipe)
        (here / "question.py").write_text(question)
        return cls(here=here, shared=shared)

    @property
    def folder(self) -> Path:
        """What the sweep leaves."""
        return self.here / "runs" / "tiny-tiny"

    def command(self, *more: str) -> list[str]:
        """The command that runs it and goes on with it."""
        data = ("--recipe", "recipe.py", "--data", str(self.shared / "data"))
        return [sys.executable, "-m", "dermtune.sweep", "question.py", *data, *more]

    def start(self, *more: str, **options: Any) -> "subprocess.Popen[str]":
        """The command under way, its output in one pipe, at the head of a process group of its own."""
        return subprocess.Popen(
            self.command(*more),
            cwd=self.here,
            env=self._environment(),
            text=True,
            start_new_session=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options},
        )

    def run(self, *more: str, seconds: float = 400) -> "subprocess.CompletedProcess[str]":
        """The command after its end."""
        return subprocess.run(
            self.command(*more),
            cwd=self.here,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )

    def trials(self) -> dict[str, dict[str, Any]]:
        """Manifests by trial_id."""
        paths = self.folder.glob("trials/*/manifest.json")
        return {path.parent.name: json.loads(path.read_text()) for path in paths}

    def logits(self) -> dict[tuple[str, int, str], list[dict[str, Any]]]:
        """Every row of every prediction file, by arm, seed and split."""
        return {
            (manifest["arm"], manifest["seed"], split): pq.read_table(
                self.folder / "trials" / trial_id / f"{split}.parquet"
            ).to_pylist()
            for trial_id, manifest in self.trials().items()
            for split in ("val", "test")
        }

    def mlflow_runs(self, uri: str | None = None) -> Sequence[Any]:
        """Every run in MLflow, the sweep's own among them."""
        client = mlflow.MlflowClient(tracking_uri=uri or f"sqlite:///{self.here / 'mlflow.db'}")
        return list(client.search_runs([e.experiment_id for e in client.search_experiments()]))

    def _environment(self) -> dict[str, str]:
        ours = {"DERMTUNE_CACHE": str(self.shared / "cache"), "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
        return {**os.environ, **ours, **self.environment}


def wait_until(holds: Callable[[], Any], what: str, seconds: float = 300) -> None:
    """Wait until it holds; `what` is what a failing test says did not come."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(0.02)
