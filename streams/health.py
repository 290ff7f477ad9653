"""The HTTP side of a process, on loopback: `/metrics` for Prometheus, `/livez` and `/readyz` for the orchestrator.

Alive means: either nothing waits, or something was applied lately, or a server is away and the process waits for it.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from socketserver import ThreadingMixIn
from typing import Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from streams.errors import Misuse

STALLED_S = 60.0
"""Records wait and none was applied for so long: the worker hangs and should be killed."""

log = logging.getLogger(__name__)


class Observed(Protocol):
    """What health is judged by, see `Metrics`."""

    registry: CollectorRegistry
    progress: int
    is_waiting: bool
    is_assigned: bool


class Liveness:
    """Judges from the lag and the progress whether the worker hangs."""

    def __init__(self, metrics: Observed, lags: Callable[[], Mapping[int, int]], clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._lags = lags
        self._clock = clock
        self._progress = -1
        self._moved_s = clock()

    def is_alive(self) -> bool:
        """Return False if records waited and none was applied for STALLED_S."""
        idle = not sum(self._lags().values())
        if idle or self._metrics.is_waiting or self._metrics.progress != self._progress:
            self._progress = self._metrics.progress
            self._moved_s = self._clock()
        return self._clock() - self._moved_s < STALLED_S


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: scrapes are no news."""


class HealthServer:
    """Serves metrics and health on 127.0.0.1 from a thread of its own; port 0 takes a free one."""

    def __init__(self, port: int, metrics: Observed, lags: Callable[[], Mapping[int, int]]) -> None:
        self._metrics = metrics
        self._liveness = Liveness(metrics, lags, time.monotonic)
        self._prometheus = make_wsgi_app(metrics.registry)
        try:
            self._server = make_server("127.0.0.1", port, self._answer, _Server, _Quiet)
        except OSError as exc:
            raise Misuse(f"metrics_port {port}: {exc.strerror}") from exc
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/livez":
            return _say(start_response, self._liveness.is_alive(), "alive", "records wait and none is applied")
        if path == "/readyz":
            ready = self._metrics.is_assigned and not self._metrics.is_waiting
            return _say(start_response, ready, "ready", "waiting for partitions, Redis or Kafka")
        answer: Iterable[bytes] = self._prometheus(environ, start_response)
        return answer


@contextlib.contextmanager
def health(port: int | None, metrics: Observed, lags: Callable[[], Mapping[int, int]]) -> Iterator[None]:
    """Answer for metrics and health while the block runs; a port of None is none."""
    if port is None:
        yield
        return
    server = HealthServer(port, metrics, lags)
    server.start()
    log.info("metrics", extra={"address": f"127.0.0.1:{server.port}"})
    try:
        yield
    finally:
        server.stop()


def _say(start_response: Callable[..., Any], good: bool, yes: str, no: str) -> Iterable[bytes]:
    status = "200 OK" if good else "503 Service Unavailable"
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{yes if good else no}\n".encode()]
