"""Ray for the length of a sweep: started here, or a cluster that runs already."""

import contextlib
import gc
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray._private import worker  # Ray has no other switch for what `_quiet` keeps quiet

from dermtune.config import UserError
from dermtune.ledger import SweepFolder

LOCAL = {
    "address": "local",
    "include_dashboard": False,
    "object_store_memory": 256 * 2**20,  # nothing but the plan goes through it
    "_system_config": {"gcs_rpc_server_reconnect_timeout_s": 3},  # a local one that is gone does not come back
}
"""How a local Ray is started."""

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray warns as long as it is not set
    "RAY_AIR_NEW_OUTPUT": "0",  # only with the old output does verbose=0 keep Ray quiet
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in a worker as in the driver
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # `stopped_by_signals` does it, for SIGTERM too
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # the ledger is the state
}


class TunerError(UserError):
    """Trials that cannot be run here; the message says why."""


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Ray for the length of a sweep: one that this process has already, the one at `address`, or a local one."""
    os.environ.update(ENVIRONMENT)
    with _quiet():
        if ray.is_initialized():
            yield
            return
        _connect(address)
        try:
            yield
        finally:
            _shut_down()


def _connect(address: str | None) -> None:
    """Connect to the cluster at `address`, or start a local one. Raises TunerError where there is none."""
    where: dict[str, Any] = {"address": address}
    if address is None:
        where = LOCAL
    try:
        _knock(address)
        ray.init(**where, runtime_env=_runtime_env(), log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())
        raise TunerError(f"--address must be a running Ray cluster, got {address!r}: {why}") from None


def _knock(address: str | None) -> None:
    """Raises OSError where nothing listens at `host:port`: Ray itself would wait there for good."""
    host, _, port = (address or "").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither Tune's tracebacks nor Ray's paragraph for each worker that dies: the monitors are told, in a line."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    printing = worker.print_to_stdstream
    worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        worker.print_to_stdstream = printing


def _shut_down() -> None:
    """End Ray while no thread can collect what refers to it: whoever frees such an object then ends the process."""
    gc.collect()
    gc.freeze()
    try:
        ray.shutdown()
    finally:
        gc.unfreeze()


def _runtime_env() -> dict[str, Any]:
    """Workers find this very dermtune, installed or a checkout."""
    here = str(Path(__file__).parents[2])
    return {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))}}


@contextlib.contextmanager
def tune_storage(folder: SweepFolder) -> Iterator[Path]:
    """A folder for what Tune insists on writing, below the sweep's so that all nodes have it; gone afterwards."""
    folder.path.mkdir(parents=True, exist_ok=True)
    for left_behind in folder.path.glob(".tune-*"):
        shutil.rmtree(left_behind)
    storage = Path(tempfile.mkdtemp(prefix=".tune-", dir=folder.path))
    try:
        yield storage
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def gpus_that_fit(cpus: float, gpus: float | None) -> float:
    """GPUs of one trial, where some node has them and the cores beside them; None takes one where there is any."""
    nodes = _nodes()
    if gpus is None:
        gpus = float(any(node.get("GPU", 0) >= 1 for node in nodes))
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        have = "; ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise TunerError(
            f"a trial must fit on one node: it asks for {cpus:g} CPUs and {gpus:g} GPUs, the nodes have {have}; "
            "see --cpus-per-trial and --gpus-per-trial"
        )
    return gpus


def _nodes() -> list[dict[str, float]]:
    """What each living node of the cluster has."""
    nodes: list[dict[str, Any]] = ray.nodes()
    return [node["Resources"] for node in nodes if node["Alive"]]
