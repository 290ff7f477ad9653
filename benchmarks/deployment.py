"""A deployment of its own on the running stack: topics and keys under a fresh prefix, one worker, and what it did.

The worker is a real process under the supervisor that `streamrank up` uses, with the embedded profile.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.shop import Pair
from streams.commands.up import embedded_environment
from streams.contracts.topics import EVENTS
from streams.embedded.stack import Addresses
from streams.errors import StackFailed, StreamrankError
from streams.kafka_admin import create_topics
from streams.settings import ENV_PREFIX, Settings, load_settings
from streams.store.redis import RedisStore
from streams.supervise import SupervisedWorker

READY_S = 60.0
STANDSTILL_S = 30.0
"""A worker that does nothing for so long while something waits has failed."""
POLL_S = 0.02
FETCH_WAIT_MS = 2
LARGE = {"linger.ms": 200, "batch.num.messages": 10_000, "batch.size": 900_000}
"""Large record batches: the embedded broker slows as a partition collects small ones."""
PROMPT = {"linger.ms": 0, "queue.buffering.max.ms": 0}


class Undelivered(StreamrankError):
    """Kafka did not take what the benchmark produced."""


class Deployment:
    """Topics, keys and, between `start` and `end`, a worker; a context manager."""

    def __init__(self, addresses: Addresses, folder: Path) -> None:
        self.name = f"bench-{uuid.uuid4().hex[:6]}."
        own = {"topic_prefix": self.name, "key_prefix": self.name, "kafka_group": self.name}
        self.environment = embedded_environment(addresses) | {ENV_PREFIX + k.upper(): v for k, v in own.items()}
        values: dict[str, Any] = {k.removeprefix(ENV_PREFIX).lower(): v for k, v in self.environment.items()}
        self.settings: Settings = load_settings(None, **values)
        self._folder = folder / self.name.rstrip(".")
        self._folder.mkdir()
        self._worker: SupervisedWorker | None = None
        self._runner = asyncio.Runner()
        self._store = RedisStore.from_settings(self.settings)
        create_topics(self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._runner.run(self._store.close())
        self._runner.close()

    def start(self, *, ready: bool = True) -> None:
        """Start the worker; return when it has its partitions, or at once."""
        self._worker = SupervisedWorker(self._folder, self.environment)
        self._worker.start()
        if ready:
            self._worker.await_ready(READY_S)

    def end(self) -> None:
        """End the worker in order, if there is one."""
        if self._worker is not None:
            self._worker.__exit__()
            self._worker = None

    def check(self) -> None:
        """Fail if the worker has ended: a benchmark doesn't go on with another one.

        Raises:
            StackFailed: quoting its last words.
        """
        said = None if self._worker is None else self._worker.check()
        if said:
            raise StackFailed(said)

    def producer(self, config: dict[str, Any]) -> Producer:
        """Return a producer that partitions as Streamrank wants it."""
        base = {"bootstrap.servers": self.settings.kafka_bootstrap, "partitioner": "murmur2_random", "acks": "all"}
        return Producer(base | config)

    def consumer(self, topic: str) -> Consumer:
        """Return a consumer that reads all of a topic of Streamrank's from its beginning, promptly."""
        return prompt_consumer(self.settings.kafka_bootstrap, self.settings.topic(topic), self.settings.partitions)

    def publish(self, pairs: Iterable[Pair], topic: str = EVENTS) -> int:
        """Publish in large batches, wait for their delivery, return how many there were.

        Raises:
            Undelivered: some were not taken.
        """
        producer = self.producer({**LARGE, "queue.buffering.max.messages": 500_000})
        name, failures, n = self.settings.topic(topic), [], 0
        for n, (key, value) in enumerate(pairs, 1):
            producer.produce(name, value, key, on_delivery=lambda error, _: failures.append(error) if error else None)
            if n % 10_000 == 0:
                producer.poll(0)
        left = producer.flush(60)
        if left or failures:
            raise Undelivered(f"{left + len(failures)} of {n} messages were not delivered to {name}")
        return n

    def stats(self) -> dict[str, int]:
        """Return the outcomes of all events so far, as Redis tells."""
        return self._runner.run(self._store.stats(range(self.settings.partitions)))

    def items_written(self) -> int:
        """Return how many records of `items` are in Redis, by position."""
        return sum(at + 1 for at in self._runner.run(self._store.items_positions()).values())

    def watch(self, progress: Callable[[], int], goal: int) -> list[tuple[float, int]]:
        """Poll `progress` until it reaches `goal`; return (seconds, progress) at each change.

        Raises:
            StackFailed: the worker ended, or nothing changed for STANDSTILL_S.
        """
        seen: list[tuple[float, int]] = [(time.perf_counter(), progress())]
        while seen[-1][1] < goal:
            time.sleep(POLL_S)
            now, value = time.perf_counter(), progress()
            if value != seen[-1][1]:
                seen.append((now, value))
            elif now - seen[-1][0] > STANDSTILL_S:
                raise StackFailed(f"the worker stands still at {value} of {goal}; see {self._folder.name}/worker.log")
            self.check()
        return seen


def prompt_consumer(bootstrap: str, topic: str, partitions: int) -> Consumer:
    """Return a consumer of a whole topic that is not held up by the embedded broker's fetch wait."""
    config = {"group.id": "bench-reader", "enable.auto.commit": False, "fetch.wait.max.ms": FETCH_WAIT_MS}
    consumer = Consumer({"bootstrap.servers": bootstrap} | config)
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    return consumer
