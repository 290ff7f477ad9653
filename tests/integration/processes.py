"""Workers and other verbs as processes, on topics, a group and a key prefix of their own."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from streams.embedded.server import free_port
from streams.kafka_admin import create_topics
from streams.settings import ENV_PREFIX, Settings, load_settings
from streams.store.redis import RedisStore
from tests.integration.conftest import RunningStack
from tests.support import wait_until

PARTITIONS = 2
READY_S = 40.0


def own_settings(stack: RunningStack, **overrides: Any) -> Settings:
    """Settings of a namespace of its own on the stack; its topics are created."""
    prefix = f"t{uuid.uuid4().hex[:8]}-"
    values: dict[str, Any] = {
        "kafka_bootstrap": stack.kafka,
        "redis_url": stack.redis_url,
        "triton_address": stack.triton,
        "topic_prefix": prefix,
        "key_prefix": prefix,
        "kafka_group": prefix + "group",
        "partitions": PARTITIONS,
        "kafka_session_timeout_s": 6.0,
        "kafka_fetch_max_wait_ms": 20,  # each empty fetch costs worker and broker time that other tests need
    }
    settings = load_settings(None, **(values | overrides))
    create_topics(settings)
    return settings


def environment(settings: Settings, **more: object) -> dict[str, str]:
    """The environment of a process with these settings."""
    values = settings.model_dump(exclude_defaults=True)
    values["redis_url"] = settings.redis_url.get_secret_value()
    own = {ENV_PREFIX + name.upper(): str(value) for name, value in (values | more).items()}
    return {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)} | own


def verb(
    *words: str, env: Mapping[str, str] | None = None, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    command = [sys.executable, "-m", "streams.cli", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout_s, check=False)


@dataclass
class WorkerProcess:
    """A running `streamrank worker`."""

    process: "subprocess.Popen[bytes]"
    log: Path
    port: int

    def answers(self, path: str) -> tuple[int, str]:
        """Return status and body of a page of its HTTP server; (0, "") if it doesn't answer."""
        with contextlib.suppress(OSError):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as page:
                    return page.status, page.read().decode()
            except urllib.error.HTTPError as exc:
                return exc.code, exc.read().decode()
        return 0, ""

    def await_ready(self) -> None:
        """Return when it has its partitions."""
        wait_until(lambda: self.answers("/readyz")[0] == 200 or self.ended(), READY_S, "the worker to be ready")
        assert not self.ended(), self.log.read_text()

    def ended(self) -> bool:
        """Tell whether the process has ended."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.process.kill()
        self.process.wait()

    def logged(self, message: str) -> list[dict[str, Any]]:
        """Return the log lines with this message."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["message"] == message]


@contextlib.contextmanager
def worker(
    settings: Settings, folder: Path, *, python: Sequence[str] = ("-m", "streams.cli"), **more: object
) -> Iterator[WorkerProcess]:
    """Run a worker process, by these arguments of Python; it is ended with the block."""
    port = free_port()
    log = folder / f"worker-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *python, "worker"],
            env=environment(settings, metrics_port=port, **more),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield WorkerProcess(process, log, port)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()


def publish(settings: Settings, topic: str, messages: Sequence[tuple[bytes | None, bytes | None]]) -> None:
    """Publish keys and values with murmur2, and wait for the brokers."""
    producer = Producer(
        {"bootstrap.servers": settings.kafka_bootstrap, "partitioner": "murmur2_random", "linger.ms": 5}
    )
    for key, value in messages:
        producer.produce(settings.topic(topic), key=key, value=value)
        producer.poll(0)
    assert producer.flush(30) == 0


def clicks(count: int, users: int = 50, start: int = 0) -> list[tuple[bytes, bytes]]:
    """Return clicks, each with an id of its own."""
    made = []
    for n in range(start, start + count):
        user = f"u{n % users}"
        event = {"type": "click", "user_id": user, "item_id": f"i{n % 20}", "event_id": f"e{n}"}
        made.append((user.encode(), json.dumps(event).encode()))
    return made


def request(user: str, request_id: str) -> tuple[bytes, bytes]:
    """Return a request for a slate."""
    value = {"type": "request", "user_id": user, "request_id": request_id, "k": 5}
    return user.encode(), json.dumps(value).encode()


@dataclass
class Reader:
    """Reads a topic from its start; `values` holds what came so far."""

    settings: Settings
    topic: str
    values: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        config = {"bootstrap.servers": self.settings.kafka_bootstrap, "group.id": "none", "enable.auto.commit": False}
        self._consumer = Consumer(config | {"fetch.wait.max.ms": 20})
        name = self.settings.topic(self.topic)
        self._consumer.assign([TopicPartition(name, p, 0) for p in range(self.settings.partitions)])

    def until(self, condition: Callable[[list[Any]], object], timeout_s: float, what: str) -> list[Any]:
        """Read until the condition holds for the values."""
        wait_until(lambda: self._read() or condition(self.values), timeout_s, what)
        return self.values

    def _read(self) -> None:
        for message in self._consumer.consume(500, timeout=0.05):
            assert message.error() is None, message.error()
            self.values.append(json.loads(message.value()))


def stored(settings: Settings) -> dict[str, int]:
    """Return the outcome counts of the namespace, all partitions together."""

    async def ask() -> dict[str, int]:
        store = RedisStore.from_settings(settings)
        try:
            return await store.stats(range(settings.partitions))
        finally:
            await store.close()

    return asyncio.run(ask())


def catalogue(settings: Settings) -> dict[str, Any]:
    """Return the items that the store holds."""

    async def ask() -> dict[str, Any]:
        store = RedisStore.from_settings(settings)
        try:
            return {c.item_id: json.loads(c.value or b"null") async for part in store.items() for c in part}
        finally:
            await store.close()

    return asyncio.run(ask())


def await_applied(settings: Settings, count: int, timeout_s: float = 60.0) -> None:
    """Return when so many events are applied; never more."""
    wait_until(lambda: stored(settings).get("applied", 0) >= count, timeout_s, f"{count} events applied")
    assert stored(settings)["applied"] == count
