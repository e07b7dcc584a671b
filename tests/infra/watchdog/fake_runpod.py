"""A provider that behaves as providers do: a real HTTP server that hangs, fails, lies, and takes its time."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "canary-key-of-runpod"

Answer = tuple[int, Any]
"""Status and what is sent as JSON."""
HANG = "hang"
TRICKLE = "trickle"
TRICKLES = 20.0
"""Seconds for which one byte after the other comes, at most."""


@dataclass(kw_only=True)
class FakeRunPod:
    """The account of one person, at `url`."""

    url: str = ""
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Every request, as `GET /pods/abc`."""
    before: Callable[[str], Answer | str | None] = lambda _: None
    """Answers a request in place of the account; None leaves it to that."""
    deletes_until_gone: int = 1
    """A pod outlives so many requests for its end, less one."""
    released: threading.Event = field(default_factory=threading.Event)
    """Ends what hangs."""
    trickled_out: bool = False
    """Whether an answer that comes byte by byte has been sent for as long as it ever is."""

    def rent(self, pod_id: str, *, hours: float = 0.0, now: float | None = None, **more: Any) -> None:
        """A pod that has run for so long, for $2 an hour."""
        started = datetime.fromtimestamp((time.time() if now is None else now) - 3600 * hours, UTC)
        self.pods[pod_id] = {
            "id": pod_id,
            "name": f"dermtune-{pod_id}",
            "desiredStatus": "RUNNING",
            "costPerHr": "2.00",  # the API's own examples have a text here
            "adjustedCostPerHr": 1.5,
            "publicIp": "192.0.2.7",
            "portMappings": {"22": 10022},
            "lastStartedAt": started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **more,
        }

    def times_asked(self, request: str) -> int:
        return self.asked.count(request)

    def answer(self, method: str, path: str, key: str | None) -> Answer | str:
        request = f"{method} {path}"
        self.asked.append(request)
        if key != f"Bearer {KEY}":
            return 401, {"error": "unauthorized"}
        if (instead := self.before(request)) is not None:
            return instead
        if request == "GET /pods":
            return 200, list(self.pods.values())
        pod = self.pods.get(path.removeprefix("/pods/"))
        if pod is None:
            return 404, {"error": "pod not found"}
        if method == "GET":
            return 200, pod
        if self.times_asked(request) >= self.deletes_until_gone:
            del self.pods[pod["id"]]
        return 204, None


@contextmanager
def serving() -> Iterator[FakeRunPod]:
    """The provider, on a port of its own."""
    fake = FakeRunPod()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            answer = fake.answer(self.command, self.path.removeprefix("/v1"), self.headers.get("Authorization"))
            if isinstance(answer, str):
                self._trickle() if answer == TRICKLE else fake.released.wait(30)
                return
            status, body = answer
            content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{fake.url}/stolen")
            if status == 429:
                self.send_header("Retry-After", "3600")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _trickle(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            until = time.monotonic() + TRICKLES
            with contextlib.suppress(OSError):
                while not fake.released.wait(0.05):
                    self.wfile.write(b" ")
                    if time.monotonic() > until:
                        fake.trickled_out = True
                        return

        do_GET = do_DELETE = _do  # noqa: N815 http.server calls them

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield fake
        finally:
            fake.released.set()
            server.shutdown()
            thread.join()
