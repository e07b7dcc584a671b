"""RunPod's REST API, version 1: https://docs.runpod.io/api-reference."""

import hashlib
import json
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import urllib3
from urllib3.exceptions import HTTPError

from infra.watchdog.machine import KeyRefusedError, Machine, ProviderError

API_URL = "https://rest.runpod.io/v1"
KEY = "RUNPOD_API_KEY"
"""The environment variable that holds the key."""
LARGEST = 32 << 20
"""Bytes that an answer may have; a pod takes some thousand."""

_BUSY = (429, 500, 502, 503, 504)
"""Answers after which the same question may be asked again."""
_NONSENSE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What comes of reading something else than was promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one call may take."""

    timeout: float
    """Seconds for a connection and the first word of an answer."""
    retries: int = 3
    pause: float = 0.5
    """Seconds before the second retry; from one to the next they double, with jitter, up to half the timeout."""

    @property
    def total(self) -> float:
        """Seconds after which a call has ended, whatever the server does: all tries, and the pauses between."""
        return (self.retries + 1.5) * self.timeout

    @property
    def policy(self) -> urllib3.Retry:
        """No redirect is followed: the key goes to no other address.

        What a server says about when to come back (`Retry-After`) is not obeyed: it could be an hour in which
        nobody watches.
        """
        return urllib3.Retry(
            total=self.retries,
            redirect=0,
            status_forcelist=_BUSY,
            allowed_methods=("GET", "DELETE"),
            backoff_factor=self.pause,
            backoff_max=self.timeout / 2,
            backoff_jitter=self.pause,
            raise_on_status=False,
            raise_on_redirect=False,
            respect_retry_after_header=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    body: bytes


class RunPod:
    """A client of the API. The key is sent to `url` and is in nothing that is raised."""

    def __init__(self, key: str, *, url: str = API_URL, patience: Patience) -> None:
        self.url = url.rstrip("/")
        self.account = hashlib.sha256(f"dermtune-watchdog {key}".encode()).hexdigest()[:16]
        self._total = patience.total
        self._http = urllib3.PoolManager(
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
            timeout=urllib3.Timeout(total=patience.timeout),
            retries=patience.policy,
        )

    def list(self) -> Sequence[Machine]:
        """All pods of the account, those that are stopped among them."""
        pods = self._json(self._ask("GET", "/pods"), "/pods")
        if not isinstance(pods, list):
            raise ProviderError(f"GET {self.url}/pods must be answered by a list, got {type(pods).__name__}")
        return [self._machine(pod, "/pods") for pod in pods]

    def get(self, machine_id: str) -> Machine | None:
        """The pod; None where the answer is 404."""
        path = f"/pods/{quote(machine_id, safe='')}"
        answer = self._ask("GET", path, (404,))
        if answer.status == 404:
            return None
        machine = self._machine(self._json(answer, path), path)
        if machine.id != machine_id:
            raise ProviderError(f"GET {self.url}{path} must tell of that pod, it tells of another")
        return machine

    def terminate(self, machine_id: str) -> bool:
        """Delete the pod with its volume; whether there was one to delete."""
        return self._ask("DELETE", f"/pods/{quote(machine_id, safe='')}", (404,)).status != 404

    def _ask(self, method: str, path: str, also: Sequence[int] = ()) -> _Answer:
        """An answer of 200 and more, or one of `also`."""
        where = f"{method} {self.url}{path}"
        try:
            answer = _within(self._total, lambda: self._request(method, path))
        except TimeoutError:
            raise ProviderError(f"{where}: no whole answer within {self._total:g} s") from None
        except HTTPError as error:
            raise ProviderError(f"{where}: {_cause(error)}") from None
        if answer.status in (401, 403):
            raise KeyRefusedError(f"{KEY} must be a key that {self.url} takes, it answers {answer.status}")
        if not 200 <= answer.status < 300 and answer.status not in also:
            raise ProviderError(f"{where} is answered {answer.status}")
        if len(answer.body) > LARGEST:
            raise ProviderError(f"{where} must be answered by {LARGEST >> 20} MB at most")
        return answer

    def _request(self, method: str, path: str) -> _Answer:
        with self._http.request(method, self.url + path, preload_content=False) as response:
            return _Answer(status=response.status, body=response.read(LARGEST + 1))

    def _json(self, answer: _Answer, path: str) -> Any:
        try:
            return json.loads(answer.body)
        except _NONSENSE:
            raise ProviderError(f"GET {self.url}{path} must be answered in JSON, got something else") from None

    def _machine(self, pod: Any, path: str) -> Machine:
        try:
            return _machine(pod)
        except _NONSENSE as error:
            raise ProviderError(f"GET {self.url}{path} must tell of pods, this does not fit: {error!r}") from None


def _within(seconds: float, call: Callable[[], _Answer]) -> _Answer:
    """What the call returns or raises. Raises TimeoutError where it takes longer; it is left to itself then.

    A thread, because a socket's time-out begins anew with each byte: who sends one now and then is read for ever.
    """
    came = Future[_Answer]()

    def run() -> None:
        try:
            came.set_result(call())
        except BaseException as error:  # noqa: BLE001 it is raised where the answer is waited for
            came.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return came.result(timeout=seconds)


def _machine(pod: Any) -> Machine:
    """The pod's fields. Its id must be there; what does not fit of the others is None.

    A colleague's pod that the API tells oddly must not make its whole list worthless.
    """
    machine_id, host = pod["id"], pod.get("publicIp")
    if not (isinstance(machine_id, str) and machine_id):
        raise ValueError(f"id must be a text, got {type(machine_id).__name__}")
    return Machine(
        id=machine_id,
        name=str(pod.get("name") or ""),
        status=str(pod.get("desiredStatus") or "unknown"),
        usd_per_hour=_price(pod.get("costPerHr")),
        started=_moment(pod.get("lastStartedAt")),
        host=host if isinstance(host, str) and host else None,
        port=_port(pod.get("portMappings")),
    )


def _price(told: Any) -> float | None:
    """Dollars; the API gives a number or a text. None where nothing, nought, or nonsense is told: none is free."""
    try:
        price = float(told)
    except _NONSENSE:
        return None
    return price if 0 < price < math.inf else None


def _port(told: Any) -> int | None:
    """The port of ssh; None as long as there is none."""
    try:
        port = int(told["22"])
    except _NONSENSE:
        return None
    return port if 0 < port < 1 << 16 else None


def _moment(told: Any) -> float | None:
    """`2024-07-12T19:14:40.144Z` as seconds since 1970; None where it is no such text."""
    try:
        moment = datetime.fromisoformat(told)
        return moment.timestamp() if moment.tzinfo else None
    except _NONSENSE:
        return None


def _cause(error: HTTPError) -> str:
    """What happened, without the objects in urllib3's texts."""
    reason = getattr(error, "reason", None) or error
    return f"no answer ({type(reason).__name__})"
