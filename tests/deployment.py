"""A deployment of its own on the shared embedded stack: topics, key prefix, worker processes, what they publish."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from streams.decode import Record
from streams.embedded.server import free_port
from streams.kafka_admin import create_topics
from streams.settings import Settings
from streams.store.redis import RedisStore
from tests.support import wait_until

READY_S = 40.0


class Deployment:
    """Topics and keys under a fresh prefix; `start_worker` starts real worker processes on them."""

    def __init__(self, kafka: str, redis_url: str, triton: str, folder: Path, **settings: Any) -> None:
        self.name = f"t{uuid.uuid4().hex[:8]}."
        values = {
            "kafka_bootstrap": kafka,
            "redis_url": redis_url,
            "triton_address": triton,
            "topic_prefix": self.name,
            "key_prefix": self.name,
            "kafka_group": self.name,
            "kafka_session_timeout_s": 6,
            "kafka_fetch_max_wait_ms": 20,  # each empty fetch costs worker and broker time that other tests need
            "partitions": 4,
        } | settings
        self.settings = Settings(**values)
        self._values = {f"STREAMRANK_{name.upper()}": str(value) for name, value in values.items()}
        self._folder = folder
        self._workers: list[subprocess.Popen[bytes]] = []
        self._ports: dict[int, int] = {}
        create_topics(self.settings)
        self.producer = Producer(
            {"bootstrap.servers": kafka, "partitioner": "murmur2_random", "linger.ms": 2, "acks": "all"}
        )

    def start_worker(self, *, ready: bool = True) -> subprocess.Popen[bytes]:
        """Start a worker; by default return when it has its partitions."""
        port = free_port()
        log = (self._folder / f"{self.name}worker-{len(self._workers)}.log").open("wb")
        worker = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "worker"],
            env={k: v for k, v in os.environ.items() if not k.startswith("STREAMRANK_")}
            | self._values
            | {"STREAMRANK_METRICS_PORT": str(port)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        self._workers.append(worker)
        self._ports[worker.pid] = port
        if ready:
            self.await_ready(worker)
        return worker

    def await_ready(self, worker: subprocess.Popen[bytes]) -> None:
        """Return when the worker has its partitions."""

        def is_ready() -> bool:
            assert worker.poll() is None, f"the worker ended with {worker.returncode}"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[worker.pid]}/readyz", timeout=1) as answer:
                    return bool(answer.status == 200)
            except (OSError, urllib.error.URLError):
                return False

        wait_until(is_ready, READY_S, "a worker that is ready")

    def produce(self, events: Iterable[tuple[bytes | None, bytes]], topic: str = "events") -> None:
        """Publish (key, value) pairs and wait for their delivery."""
        failures: list[str] = []

        def delivered(error: Any, _: Any) -> None:
            if error is not None:
                failures.append(str(error))

        for key, value in events:
            while True:
                try:
                    self.producer.produce(self.settings.topic(topic), value, key, on_delivery=delivered)
                    break
                except BufferError:
                    self.producer.poll(0.1)
            self.producer.poll(0)
        assert self.producer.flush(30) == 0
        assert not failures

    def read(self, topic: str) -> Iterator[Record]:
        """Yield everything that is in a topic now, partition by partition."""
        config = {"group.id": "reader", "enable.auto.commit": False, "enable.partition.eof": True}
        consumer = Consumer({"bootstrap.servers": self.settings.kafka_bootstrap, "fetch.wait.max.ms": 20} | config)
        try:
            name = self.settings.topic(topic)
            for p in consumer.list_topics(name, timeout=10).topics[name].partitions:
                consumer.assign([TopicPartition(name, p, 0)])
                while True:  # to the end that a fetch tells: Tansu's ListOffsets answers with its last batch's start
                    message = consumer.poll(10.0)
                    assert message is not None, f"{name}-{p} does not answer"
                    if message.error() is not None:
                        assert message.error().code() == KafkaError._PARTITION_EOF  # noqa: SLF001
                        break
                    yield Record(p, message.offset(), message.key(), message.value(), message.timestamp()[1])
        finally:
            consumer.close()

    def values(self, topic: str) -> list[dict[str, Any]]:
        """Return every JSON object that is in a topic now."""
        return [msgspec.json.decode(record.value) for record in self.read(topic) if record.value]

    def count(self, topic: str) -> int:
        """Return how many records a topic holds now."""
        return sum(1 for _ in self.read(topic))

    def store(self) -> RedisStore:
        """Return a store on this deployment's keys, to look into; close it."""
        return RedisStore.from_settings(self.settings)

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """End a worker in the middle of whatever it does."""
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    def stop(self) -> None:
        """End all workers."""
        for worker in self._workers:
            if worker.poll() is None:
                self.kill(worker)
