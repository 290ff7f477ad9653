"""The field of a schedule: stack, crew and load, what watches them, and how long each fault took to be made good.

A fault is made good when all that the broker had at its end is applied, and something newer of every partition (or the
death of a worker with nothing left to do would be made good at once), and, if Triton was hit, ranked by Triton again.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import redis

from benchmarks.chaos.crew import Crew
from benchmarks.chaos.load import Load
from benchmarks.deployment import Deployment
from streams.embedded.stack import Stack
from streams.errors import Unreachable
from streams.kafka_admin import restore_topics
from streams.store.redis import RedisStore

POLL_S = 0.05
LOOK_S = 0.2
RECOVER_S = 90.0
"""A fault that isn't made good in this time has broken something."""


@dataclass(slots=True)
class Strike:
    """One fault: its kind, whom it hit, and how long after its end all was as before (None: never)."""

    kind: str
    target: str
    lasted_s: float
    recovered_s: float | None = None


@dataclass
class Field:
    """Everything that a fault may touch."""

    stack: Stack
    deployment: Deployment
    crew: Crew
    load: Load
    run_dir: Path
    strikes: list[Strike] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)

    def redis(self) -> "redis.Redis[bytes]":
        """Return a client that goes straight to Redis; close it."""
        return redis.Redis.from_url(self.stack.addresses.redis_url, socket_timeout=5.0)


class Stopwatch(threading.Thread):
    """Looks at Redis and says when a fault is made good; a context manager."""

    def __init__(self, at: Field) -> None:
        super().__init__(name="stopwatch", daemon=True)
        self._field = at
        self._waiting: list[tuple[Strike, float, Mapping[int, int], int]] = []
        self._ended = threading.Event()
        self._ranked = 0
        self.applied: dict[int, int] = {}
        """The offset after the last applied event, by partition."""

    def watch(self, strike: Strike) -> None:
        """Measure from now, which is the end of the fault."""
        ranked = self._ranked + 1 if strike.kind.startswith("triton") else 0
        ends = self._field.load.ends
        goals = {p: ends.get(p, 0) + 1 for p in range(self._field.deployment.settings.partitions)}
        self._waiting.append((strike, time.monotonic(), goals, ranked))

    def await_calm(self) -> None:
        """Return when every fault is made good, or it takes too long."""
        deadline_s = time.monotonic() + RECOVER_S
        while self._waiting and time.monotonic() < deadline_s:
            time.sleep(POLL_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Look until told to end."""
        asyncio.run(self._look())

    async def _look(self) -> None:
        settings = self._field.deployment.settings
        partitions = range(settings.partitions)
        store = RedisStore.from_settings(settings)
        while not self._ended.is_set():
            with suppress(Unreachable):  # it is Redis that was hit: look again
                positions = await store.positions(partitions)
                self._ranked = (await store.stats(partitions)).get("slates_triton", 0)
                self.applied = {p: at.offset + 1 if at else 0 for p, at in positions.items()}
                self._judge(time.monotonic())
            await asyncio.sleep(POLL_S)
        await store.close()

    def _judge(self, now_s: float) -> None:
        for one in list(self._waiting):
            strike, since_s, goals, ranked = one
            if all(self.applied[p] >= goal for p, goal in goals.items()) and self._ranked >= ranked:
                strike.recovered_s = now_s - since_s
                self._waiting.remove(one)


@contextmanager
def meanwhile(look: Callable[[], object], every_s: float) -> Iterator[None]:
    """Call `look` every so often, in a thread of its own, until the block ends; what it raised is raised there."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(every_s):
            look()

    with ThreadPoolExecutor(1) as thread:
        looking = thread.submit(run)
        try:
            yield
        finally:
            ended.set()
            looking.result()


@contextmanager
def supervised(at: Field) -> Iterator[None]:
    """Keep servers and workers alive meanwhile, as `streamrank up` does.

    Raises:
        StreamrankError: a server doesn't start again.
    """

    def check() -> None:
        for restart in at.stack.check():
            if restart.name == "broker":
                restore_topics(at.deployment.settings)
            at.restarts.append(f"{restart.name}: {restart.because}; {restart.lost}")
        at.crew.check()

    with meanwhile(check, LOOK_S):
        yield
