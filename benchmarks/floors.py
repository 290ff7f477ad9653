"""Floors: what the bare servers and libraries need on this machine, now. Figures mean something beside these."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.deployment import PROMPT, prompt_consumer
from benchmarks.paced import Due, Reader, latencies_ms, send
from benchmarks.report import Section, percentile
from inference.ranker import RankerInputs
from inference.tensors import CODE_LEVELS, CODES, FEATURES, HISTORY, MAX_ID, SEEDS
from inference.triton_ranker import TritonAddress, decode, encode
from streams.embedded.stack import Addresses
from streams.errors import StackFailed

CANDIDATES = 200
REPEATS = 1_000
VALUE_BYTES = 150
"""About an event."""
STATE_BYTES = 400
"""About a user's state."""
EMPTY_AGENT_S = 180.0
WARM_SHARE = 0.1
"""What is left out at the start of a run."""


def hop(addresses: Addresses, per_s: float, seconds: float, partitions: int) -> list[float]:
    """Return sorted latencies (ms) from a producer through the broker to a consumer, on a topic of its own."""
    topic = f"bench-hop-{uuid4().hex[:6]}"
    admin = AdminClient({"bootstrap.servers": addresses.kafka})
    for future in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        future.result(30)
    reader = Reader(prompt_consumer(addresses.kafka, topic, partitions), lambda value: value[:16].decode())
    producer = Producer({"bootstrap.servers": addresses.kafka, "acks": "all"} | PROMPT)
    sent = send(producer, topic, _numbered(per_s, int(per_s * seconds)))
    found = latencies_ms(sent, reader.finish(len(sent)), int(len(sent) * WARM_SHARE))
    if not found:
        raise StackFailed("the broker passed nothing on")
    return found


def add_redis(section: Section, addresses: Addresses) -> None:
    """Add the bare round trip of redis-py."""
    with redis.Redis.from_url(addresses.redis_url) as client:
        key = f"bench-{uuid4().hex}"
        client.set(key, bytes(STATE_BYTES), ex=60)
        for name, call in (("Redis PING", client.ping), ("Redis GET", lambda: client.get(key))):
            section.floor(f"{name}, p50", percentile(_timed_ms(call), 0.5), "ms", "redis-py, blocking, loopback")


def add_triton(section: Section, addresses: Addresses) -> None:
    """Add the bare call of the ranker that is served."""
    inputs = random_inputs()
    client = TritonAddress(addresses.triton).sync_client()
    times = _timed_ms(lambda: decode(client.infer("ranker", encode(inputs)), inputs, "ranker"))
    note = f"gRPC, blocking, 1 x {CANDIDATES} candidates, answer checked"
    section.floor("Triton call, p50", percentile(times, 0.5), "ms", note)
    section.floor("Triton call, p99", percentile(times, 0.99), "ms", note)
    client.close()


def random_inputs() -> RankerInputs:
    """Return one list of CANDIDATES, drawn with a fixed seed."""
    rng = np.random.default_rng(1)
    return RankerInputs(
        features=rng.random((1, CANDIDATES, len(FEATURES)), np.float32),
        pairs=rng.random((1, CANDIDATES, 2 * SEEDS), np.float32),
        seeds=rng.random((1, SEEDS), np.float32),
        item_ids=rng.integers(1, MAX_ID, (1, CANDIDATES), np.int32),
        history_ids=rng.integers(1, MAX_ID, (1, HISTORY), np.int32),
        item_codes=rng.integers(1, CODES + 1, (1, CANDIDATES, CODE_LEVELS), np.int32),
        history_codes=rng.integers(1, CODES + 1, (1, HISTORY, CODE_LEVELS), np.int32),
    )


def empty_agent(addresses: Addresses, topic: str, partitions: int, events: int) -> float:
    """Return the events/s of a Faust agent that does nothing, over a log that is there.

    Raises:
        StackFailed: it did not take all of them.
    """
    script = Path(__file__).with_name("empty_agent.py")
    command = [sys.executable, str(script), addresses.kafka, topic, str(partitions), str(events)]
    try:
        ended = subprocess.run(command, capture_output=True, timeout=EMPTY_AGENT_S, check=True)
        counted = json.loads(ended.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as exc:
        raise StackFailed(f"the empty agent did not take {events} events: {exc}") from exc
    return float(counted["events"] / counted["seconds"])


def _numbered(per_s: float, messages: int) -> Iterator[Due]:
    for n in range(messages):
        number = f"{n:016d}"
        yield Due(n / per_s, (number.encode(), number.encode().ljust(VALUE_BYTES)), number)


def _timed_ms(call: Callable[[], object]) -> list[float]:
    for _ in range(REPEATS // 10):
        call()
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1e3)
    return sorted(times)
