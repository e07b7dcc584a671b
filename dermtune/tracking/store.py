"""MLflow as this package needs it: runs found by tag, written in batches. The only file that imports mlflow."""

import contextlib
import fcntl
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    Run,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema

from dermtune.durable import whole
from dermtune.tracking.patience import patient
from dermtune.tracking.views import DIGEST_TAG, NOTE_TAG, DatasetView, ModelView, Point, Status

SQLITE = "sqlite:///"
METRICS_A_BATCH = 1000
"""MLflow's limit of metrics in one request."""
PARAMS_A_BATCH = 100
"""MLflow's limit of params, and of tags, in one request."""
RUNS_A_PAGE = 1000
DATA = "data"
"""Folder of a logged model's own files."""
SERVING = ("mlflow", "numpy", "pandas", "pillow", "torch", "transformers")
"""Packages that such a model needs beside dermtune."""
PARENT_TAG = "mlflow.parentRunId"
"""Tag of MLflow's own by which a run is shown below another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run as the store has it."""

    run_id: str
    status: str
    started_ms: int
    """Unix time in milliseconds."""
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    """Latest value of each."""
    has_params: bool


class Store:
    """One experiment of one tracking store; every method may raise MlflowException or OSError."""

    def __init__(self, uri: str, experiment: str, note: str) -> None:
        with _created_once(uri):
            self._client = MlflowClient(tracking_uri=uri)
            self._experiment_id = self._find_or_create(uri, experiment, note)

    def find(self, tag: str, value: str, *, binned: bool = False) -> list[StoredRun]:
        """The experiment's runs with this tag, oldest first, in one order for all who ask; or its bin's."""
        view = ViewType.DELETED_ONLY if binned else ViewType.ACTIVE_ONLY
        found: list[StoredRun] = []
        page: str | None = None
        while True:
            runs = self._client.search_runs(
                [self._experiment_id],
                f"tags.`{tag}` = '{value}'",
                view,
                max_results=RUNS_A_PAGE,
                page_token=page,
            )
            found += [_stored(run) for run in runs]
            page = runs.token
            if not page:
                return sorted(found, key=lambda run: (run.started_ms, run.run_id))

    def create(
        self, name: str, tags: Mapping[str, str], *, ago_seconds: float = 0.0, parent: str | None = None
    ) -> StoredRun:
        """A new run, RUNNING, that started `ago_seconds` before now."""
        nested = {} if parent is None else {PARENT_TAG: parent}
        started_ms = int((time.time() - ago_seconds) * 1000)
        run = self._client.create_run(self._experiment_id, started_ms, {**tags, **nested}, name)
        return _stored(run)

    def delete(self, run: StoredRun) -> None:
        """Move the run to MLflow's bin."""
        self._client.delete_run(run.run_id)

    def log(
        self,
        run: StoredRun,
        *,
        points: Sequence[Point] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write all of it in as few requests as MLflow allows; in the usual case one."""
        metrics = [Metric(p.key, p.value, run.started_ms + int(1000 * p.seconds), p.step) for p in points]
        texts = [Param(key, value) for key, value in (params or {}).items()]
        labels = [RunTag(key, value) for key, value in (tags or {}).items()]
        while metrics or texts or labels:
            self._client.log_batch(
                run.run_id, metrics[:METRICS_A_BATCH], texts[:PARAMS_A_BATCH], labels[:PARAMS_A_BATCH]
            )
            metrics, texts = metrics[METRICS_A_BATCH:], texts[PARAMS_A_BATCH:]
            labels = labels[PARAMS_A_BATCH:]

    def steps(self, run: StoredRun, key: str) -> frozenset[int]:
        """Steps at which the metric has been logged."""
        if key not in run.metrics:
            return frozenset()
        return frozenset(metric.step for metric in self._client.get_metric_history(run.run_id, key))

    def set_status(self, run: StoredRun, status: Status, seconds: float | None = None) -> None:
        """Set a run's status; an ended one ends `seconds` after its start, or now."""
        if status == "RUNNING":
            self._client.update_run(run.run_id, status)
        else:
            end_ms = None if seconds is None else run.started_ms + int(1000 * seconds)
            self._client.set_terminated(run.run_id, status, end_ms)

    def log_dataset(self, run: StoredRun, dataset: DatasetView) -> None:
        """Log the dataset as the run's input; a second time changes nothing."""
        entity = Dataset(dataset.name, dataset.digest, "local", dataset.source)
        context = InputTag("mlflow.data.context", "train, val, test")
        self._client.log_inputs(run.run_id, datasets=[DatasetInput(entity, [context])])

    def attach(self, run: StoredRun, path: Path) -> None:
        """Store a file under the artifact folder `report`, a folder under its own name."""
        with patient(path):
            if path.is_dir():
                self._client.log_artifacts(run.run_id, str(path), path.name)
            else:
                self._client.log_artifact(run.run_id, str(path), "report")

    def log_model(self, run: StoredRun, model: ModelView) -> str:
        """Id of the run's logged model; the same weights are stored once. What was cut off is stored anew."""
        same = f"tags.`{DIGEST_TAG}` = '{model.digest}' AND source_run_id = '{run.run_id}'"
        for earlier in self._client.search_logged_models([self._experiment_id], same):
            if earlier.status == LoggedModelStatus.READY:
                return str(earlier.model_id)
            self._client.delete_logged_model(earlier.model_id)
        logged = self._client.create_logged_model(
            self._experiment_id,
            model.name,
            run.run_id,
            {**model.tags, DIGEST_TAG: model.digest},
            dict(model.params),
        )
        with patient(model.folder):
            self._client.log_model_artifacts(logged.model_id, str(model.folder), DATA)
        with tempfile.TemporaryDirectory() as described:
            _describe(model, logged.model_id, Path(described))
            self._client.log_model_artifacts(logged.model_id, described)
        self._client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        self._client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, step=0)])
        return str(logged.model_id)

    def _find_or_create(self, uri: str, name: str, note: str) -> str:
        existing = self._client.get_experiment_by_name(name)
        if existing is None:
            # The tag spares a person the UI's question whether this is about language models.
            tags = {NOTE_TAG: note, "mlflow.experimentKind": "custom_model_development"}
            with contextlib.suppress(MlflowException):  # another driver was quicker; if not, the next line says so
                self._client.create_experiment(name, _artifacts_beside(uri, name), tags)
            existing = self._client.get_experiment_by_name(name)
        if existing is None or existing.lifecycle_stage != "active":
            raise MlflowException(f"experiment {name!r} must be there and active, it is missing or in the bin")
        return str(existing.experiment_id)


def _describe(model: ModelView, model_id: str, folder: Path) -> None:
    """Write the model's description for MLflow: its loader is a module of ours, so nothing is ever unpickled.

    By hand, for `mlflow.pyfunc`, which would do it, takes a second to import and warns of its own type hints.
    """
    signature = ModelSignature(
        inputs=Schema([ColSpec("binary", "image")]),
        outputs=Schema([ColSpec("double", name) for name in model.classes]),
    )
    about = Model(model_id=model_id, signature=signature)
    about.add_flavor(
        "python_function", loader_module="dermtune.serving", data=DATA, python_version=platform.python_version()
    )
    about.save(str(folder / "MLmodel"))
    needed = "".join(f"{name}=={version(name)}\n" for name in SERVING)
    (folder / "requirements.txt").write_text(needed, encoding="utf-8")


def _stored(run: Run) -> StoredRun:
    return StoredRun(
        run_id=run.info.run_id,
        status=run.info.status,
        started_ms=run.info.start_time,
        tags=run.data.tags,
        metrics=run.data.metrics,
        has_params=bool(run.data.params),
    )


def _sqlite_file(uri: str) -> Path | None:
    """The database's file; None for a server."""
    return Path(uri.removeprefix(SQLITE).partition("?")[0]).absolute() if uri.startswith(SQLITE) else None


def _artifacts_beside(uri: str, experiment: str) -> str | None:
    """Where a local store keeps the experiment's files; None leaves it to the server."""
    database = _sqlite_file(uri)
    return None if database is None else (database.parent / "mlartifacts" / quote(experiment)).as_uri()


@contextlib.contextmanager
def _created_once(uri: str) -> Iterator[None]:
    """Holds a lock beside a SQLite file: processes that make its tables at the same time would fail."""
    database = _sqlite_file(uri)
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            _create(database)
        yield


def _create(database: Path) -> None:
    """Make the tables, whole or not at all: with some of them MLflow can neither work nor make the rest."""
    for left_behind in database.parent.glob(f".{database.name}.*"):
        left_behind.unlink()  # by a process that was killed here: this one holds the lock
    with whole(database) as partial:
        MlflowClient(tracking_uri=f"{SQLITE}{partial}").search_experiments()
