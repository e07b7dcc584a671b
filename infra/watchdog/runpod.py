"""RunPod's REST API, version 1: https://docs.runpod.io/api-reference."""

import json
import math
from collections.abc import Sequence
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

_BUSY = (429, 500, 502, 503, 504)
"""Answers after which the same question may be asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one call may take: `(retries + 1) * timeout`, and the pauses between."""

    timeout: float
    """Seconds for a connection, and again for each part of an answer."""
    retries: int = 3

    @property
    def policy(self) -> urllib3.Retry:
        """A pause grows from a fortieth of the timeout, with as much jitter, to half of it.

        No redirect is followed: the key goes to no other address. What a server says about when to come back
        (`Retry-After`) is not obeyed: it could be an hour in which nobody watches.
        """
        return urllib3.Retry(
            total=self.retries,
            redirect=0,
            status_forcelist=_BUSY,
            allowed_methods=("GET", "DELETE"),
            backoff_factor=self.timeout / 40,
            backoff_max=self.timeout / 2,
            backoff_jitter=self.timeout / 40,
            raise_on_status=False,
            raise_on_redirect=False,
            respect_retry_after_header=False,
        )


class RunPod:
    """A client of the API. The key is sent to `url` and is in nothing that is raised."""

    def __init__(self, key: str, *, url: str = API_URL, patience: Patience) -> None:
        self._url = url.rstrip("/")
        self._http = urllib3.PoolManager(
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
            timeout=urllib3.Timeout(connect=patience.timeout, read=patience.timeout),
            retries=patience.policy,
        )

    def list(self) -> Sequence[Machine]:
        """All pods of the account, those that are stopped among them."""
        pods = self._json(self._ask("GET", "/pods"), "/pods")
        if not isinstance(pods, list):
            raise ProviderError(f"GET {self._url}/pods must be answered by a list, got {type(pods).__name__}")
        return [self._machine(pod, "/pods") for pod in pods]

    def get(self, machine_id: str) -> Machine | None:
        """The pod; None where the answer is 404."""
        path = f"/pods/{quote(machine_id, safe='')}"
        answer = self._ask("GET", path, (404,))
        return None if answer.status == 404 else self._machine(self._json(answer, path), path)

    def terminate(self, machine_id: str) -> None:
        """Delete the pod with its volume; that it is gone already is no error."""
        self._ask("DELETE", f"/pods/{quote(machine_id, safe='')}", (404,))

    def _ask(self, method: str, path: str, also: Sequence[int] = ()) -> urllib3.BaseHTTPResponse:
        """An answer of 200 and more, or one of `also`."""
        try:
            answer = self._http.request(method, self._url + path)
        except HTTPError as error:
            raise ProviderError(f"{method} {self._url}{path}: {_cause(error)}") from None
        if answer.status in (401, 403):
            raise KeyRefusedError(f"{KEY} must be a key that {self._url} takes, it answers {answer.status}")
        if not 200 <= answer.status < 300 and answer.status not in also:
            raise ProviderError(f"{method} {self._url}{path} is answered {answer.status}")
        return answer

    def _json(self, answer: urllib3.BaseHTTPResponse, path: str) -> Any:
        try:
            return json.loads(answer.data)
        except ValueError:
            raise ProviderError(f"GET {self._url}{path} must be answered in JSON, got something else") from None

    def _machine(self, pod: Any, path: str) -> Machine:
        try:
            return _machine(pod)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ProviderError(f"GET {self._url}{path} must tell of pods, this does not fit: {error!r}") from None


def _machine(pod: Any) -> Machine:
    """The pod's fields; the API gives a price as a number or as a text, and nulls where it knows nothing yet."""
    port = (pod.get("portMappings") or {}).get("22")
    return Machine(
        id=str(pod["id"]),
        name=str(pod.get("name") or ""),
        status=str(pod.get("desiredStatus") or "unknown"),
        usd_per_hour=_price(pod.get("costPerHr")),
        started=_moment(pod.get("lastStartedAt")),
        host=pod.get("publicIp") or None,
        port=None if port is None else int(port),
    )


def _price(told: Any) -> float | None:
    """Dollars; None where nothing, nought, or nonsense is told: no machine is free."""
    price = math.nan if told is None else float(told)
    return price if 0 < price < math.inf else None


def _moment(told: Any) -> float | None:
    """`2024-07-12T19:14:40.144Z` as seconds since 1970; None where it is no such text."""
    try:
        moment = datetime.fromisoformat(told)
    except (TypeError, ValueError):
        return None
    return moment.timestamp() if moment.tzinfo else None


def _cause(error: HTTPError) -> str:
    """What happened, without the objects in urllib3's texts."""
    reason = getattr(error, "reason", None) or error
    return f"no answer ({type(reason).__name__})"
