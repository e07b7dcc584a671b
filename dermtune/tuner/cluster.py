"""Ray for the length of a sweep: started here, or a cluster that runs already."""

import contextlib
import gc
import hashlib
import logging
import math
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants, utils, worker  # Ray has no other switch for what some blocks here do
from ray.exceptions import AuthenticationError
from ray.tune.execution import class_cache

from dermtune.ledger import SweepFolder
from dermtune.tuner.fitting import Asked, Node, TunerError

LOCAL = {
    "address": "local",
    "include_dashboard": False,
    "object_store_memory": 256 * 2**20,  # nothing but the plan goes through it
    # A local one that is gone does not come back; one that has had no core for seconds, on a busy laptop, does.
    "_system_config": {"gcs_rpc_server_reconnect_timeout_s": 15},
}
"""How a local Ray is started."""

AWS_KEYS = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"})
"""What Tune would hand to its workers in a record that Ray logs in clear. No trial needs them."""

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray warns as long as it is not set
    "RAY_AIR_NEW_OUTPUT": "0",  # only with the old output does verbose=0 keep Ray quiet
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in a worker as in the driver
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # only what is said of an epoch has the metric
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # `Signals` hears it
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # the ledger is the state
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # else one process is started after the other; `Chooser`s count slots
}


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Ray for the length of a sweep: one that this process has already, the one at `address`, or a local one."""
    os.environ.update(ENVIRONMENT)
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(AWS_KEYS)
    with _quiet():
        if ray.is_initialized():
            yield
            return
        try:
            _connect(address)
            yield
        finally:
            _shut_down()


def _connect(address: str | None) -> None:
    """Connect to the cluster at `address`, or start a local one. Raises TunerError where there is none."""
    must = (
        "Ray must be able to start on this machine, with a home folder for its token or RAY_AUTH_TOKEN set"
        if address is None
        else f"--address must be a running Ray cluster, and RAY_AUTH_TOKEN its token, got {address!r}"
    )
    try:
        if address is None:
            with _loopback(), _apart():
                _init(**LOCAL)
            _keep_token_private()
        else:
            _knock(address)
            _init(address=address)
    except (OSError, ValueError, AuthenticationError) as error:
        raise TunerError(f"{must}: {' '.join(str(error).split())}") from None


def _init(**where: Any) -> None:
    ray.init(**where, runtime_env=_runtime_env(), log_to_driver=False, logging_level=logging.ERROR)


def _keep_token_private() -> None:
    """Only this user may read the token that Ray keeps for later clusters; Ray itself leaves that to the umask."""
    with contextlib.suppress(OSError, RuntimeError):  # no home, no token in it
        (Path.home() / ".ray" / "auth_token").chmod(0o600)


def _knock(address: str) -> None:
    """Raises OSError where nothing listens at `host:port`: Ray itself would wait there for good."""
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """A Ray that is started in this block listens on 127.0.0.1 alone, as it does where there are no clusters."""
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """Ray's processes start in groups of their own: what a terminal or `timeout` sends to ours ends none of them.

    Ending them, in order, is our affair. They still go when we are killed.
    """
    bound_to_us: Callable[[], None] = utils.set_kill_on_parent_death_linux

    def start() -> None:
        os.setpgid(0, 0)
        bound_to_us()

    utils.set_kill_on_parent_death_linux = start
    try:
        yield
    finally:
        utils.set_kill_on_parent_death_linux = bound_to_us


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
    """Workers find this very dermtune, installed or a checkout, and have the time to leave a trial that is pruned.

    Where Tune does not have its process back by then it drops the next trial, and tells nobody.
    """
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return {"env_vars": {"PYTHONPATH": path, "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60"}}


@contextlib.contextmanager
def tune_storage(folder: SweepFolder, address: str | None) -> Iterator[Path]:
    """A folder for what Tune insists on writing, gone afterwards.

    With a cluster it lies below the sweep's, so that all nodes have it. Otherwise it is a temporary one: where the
    sweep's disk is full, Tune can still write and the sweep ends in order.
    """
    parent, prefix = folder.path, ".tune-"
    if address is None and not ray.is_initialized():
        name = hashlib.sha256(str(folder.path).encode()).hexdigest()[:16]
        parent, prefix = Path(tempfile.gettempdir()), f"dermtune-{name}-"
    parent.mkdir(parents=True, exist_ok=True)
    for left_behind in parent.glob(f"{prefix}*"):
        shutil.rmtree(left_behind, ignore_errors=True)
    storage = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield storage
    finally:
        shutil.rmtree(storage, ignore_errors=True)


class Slots:
    """How many such trials the cluster runs at once, asked anew once a second: nodes join and leave."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._known = 1
        self._until = -math.inf

    def __call__(self) -> int:
        """Of a second ago at most; at least one, where a node for it may come."""
        if time.monotonic() > self._until:
            self._known = max(1, self._asked.at_once(nodes()))
            self._until = time.monotonic() + 1.0
        return self._known


def nodes() -> list[Node]:
    """What each living node of the cluster has."""
    known: list[dict[str, Any]] = ray.nodes()
    return [node["Resources"] for node in known if node["Alive"]]
