"""Several supervised workers on one deployment, each behind proxies of its own to Redis, Triton and the broker."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.chaos.proxy import Loop, Proxy
from benchmarks.deployment import READY_S, Deployment
from streams.embedded.stack import Addresses
from streams.errors import StackFailed
from streams.settings import ENV_PREFIX
from streams.supervise import POLL_S, SupervisedWorker

SOURCES = Path(__file__).resolve().parents[2]
WORKERS = 3
WINDOW_S = 5.0
"""After so long a slate's outcome is known: short, so that most of them close under fire."""
SESSION_S = 4.0
"""How long a worker may be silent before its partitions go to others. The embedded broker holds a join for half."""


@dataclass(slots=True)
class Member:
    """One worker and its ways to the servers."""

    name: str
    worker: SupervisedWorker
    proxies: dict[str, Proxy]
    folder: Path
    environment: dict[str, str]

    def said(self, message: str) -> int:
        """Count the lines of its log that say this."""
        return self.worker.log.read_text("utf-8", errors="replace").count(message) if self.worker.log.exists() else 0


class Crew:
    """All workers of a deployment; `check` it now and then, as a supervisor does."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members
        self.ends: list[str] = []
        """What was said of workers that ended."""
        self.failures: list[str] = []
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start all, and return when each has its partitions."""
        for member in self.members:
            member.worker.start()
        for member in self.members:
            member.worker.await_ready(READY_S)

    def check(self) -> None:
        """Start again whoever has ended."""
        with self._lock:
            for member in self.members:
                try:
                    said = member.worker.check()
                except StackFailed as exc:
                    self.failures.append(f"{member.name}: {exc}")
                else:
                    if said:
                        self.ends.append(f"{member.name}: {said}")

    def restart(self, member: Member) -> None:
        """End a worker in order, if it runs, and start it again."""
        with self._lock:
            signal_to(member, signal.SIGTERM)
            with contextlib.suppress(StackFailed):  # it ended with 0, as it was told
                while member.worker.pid is not None and not member.worker.check():
                    time.sleep(POLL_S)
            member.worker.start()

    def stop(self) -> None:
        """End all in order, at the same time; harmless when repeated."""
        with self._lock:
            ending, self.members = self.members, []
            for member in ending:
                signal_to(member, signal.SIGTERM)
            for member in ending:
                member.worker.__exit__()


def signal_to(member: Member, number: signal.Signals) -> None:
    """Send a signal to a worker, if it runs."""
    pid = member.worker.pid
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def crew(
    deployment: Deployment,
    at: Addresses,
    folder: Path,
    size: int = WORKERS,
    code: Path = SOURCES,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Crew]:
    """Build a crew of `size` with these settings; `code` is where the workers' code lies."""
    with ExitStack() as closing:
        loop = closing.enter_context(Loop())
        more = {"PYTHONPATH": str(code)} | {
            ENV_PREFIX + name.upper(): value for name, value in (settings or {}).items()
        }
        made = Crew([_member(deployment, at, folder / f"worker-{n}", loop, more) for n in range(size)])
        closing.callback(made.stop)
        yield made


def _member(deployment: Deployment, at: Addresses, folder: Path, loop: Loop, more: Mapping[str, str]) -> Member:
    folder.mkdir(parents=True)
    redis_port = int(redis.connection.parse_url(at.redis_url)["port"])
    proxies = {
        "redis": Proxy(loop, redis_port),
        "broker": Proxy(loop, int(at.kafka.rpartition(":")[2]), is_broker=True),
        "triton": Proxy(loop, int(at.triton.rpartition(":")[2])),
    }
    own = {
        "kafka_bootstrap": proxies["broker"].address,
        "redis_url": f"redis://{proxies['redis'].address}/0",
        "triton_address": proxies["triton"].address,
        "kafka_session_timeout_s": f"{SESSION_S:g}",
        "attribution_window_s": f"{WINDOW_S:g}",
    }
    environment = deployment.environment | {ENV_PREFIX + name.upper(): value for name, value in own.items()}
    environment |= more
    return Member(folder.name, SupervisedWorker(folder, environment), proxies, folder, environment)
