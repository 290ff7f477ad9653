"""The pipeline without Kafka: events a second on Redis and in memory, slates a second, bytes a user, and growth.

One process, one core: what is left when the broker and the threads around it are taken away.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from uuid import uuid4

import redis

from benchmarks.report import Budget, Section
from benchmarks.shop import Shop, Size
from inference.onnx_ranker import OnnxRanker
from streams.contracts.items import decode_item
from streams.decode import Record
from streams.embedded.stack import Addresses
from streams.pipeline import Pipeline
from streams.settings import Settings, load_settings
from streams.simulate import load_items, offline_pipeline, records, run
from streams.store.base import FeatureStore
from streams.store.redis import RedisStore

EVENTS_A_USER = 20
USERS = (2_500, 10_000)
"""Two sizes of the shop: cost an event should not grow from one to the other."""
REQUESTS = 2_000
BATCH = 2_000
PARTITIONS = 8
MEGABYTES_A_MILLION = 450.0
SIMULATED_PER_S, SLATES_PER_S, GROWTH = 40_000.0, 2_000.0, 1.3


def measure(addresses: Addresses, folder: Path, command: str) -> list[Section]:
    """Measure Redis first, then the process alone."""
    return [_redis(addresses, command), _memory(addresses, command)]


def _redis(addresses: Addresses, command: str) -> Section:
    section = Section(f"pipeline on Redis, without Kafka, {EVENTS_A_USER} events a user", command)
    costs = []
    for users in USERS:
        cost_us, bytes_a_user = _fill(addresses, users)
        costs.append(cost_us)
        section.add(f"{users:,} users: an event", cost_us, "us")
    growth = Budget("at most", GROWTH)
    section.add(f"cost an event, {USERS[1]:,} / {USERS[0]:,} users", costs[1] / costs[0], "x", growth)
    note = f"states of {USERS[1]:,} users, keys included, counters not"
    budget = Budget("at most", MEGABYTES_A_MILLION)
    section.add("Redis for a million users", bytes_a_user, "MB", budget, note)
    return section


def _fill(addresses: Addresses, users: int) -> tuple[float, float]:
    """Take in the history of so many users; return microseconds an event and bytes a user."""
    prefix = f"bench-{uuid4().hex[:6]}."
    settings = load_settings(None, partitions=PARTITIONS, redis_url=addresses.redis_url, key_prefix=prefix)
    log = _log(Shop(Size(users=users)), users * EVENTS_A_USER)
    with asyncio.Runner() as runner:
        store = RedisStore.from_settings(settings)
        seconds = runner.run(_run(_pipeline(settings, store), log))
        runner.run(store.close())
    with redis.Redis.from_url(addresses.redis_url) as client:
        found = [client.memory_usage(key) or 0 for key in client.scan_iter(prefix + "u:*", count=10_000)]
        client.flushall()
    return seconds / len(log) * 1e6, sum(found) / len(found)


def _memory(addresses: Addresses, command: str) -> Section:
    section = Section("pipeline in memory, as simulate runs it", command)
    shop = Shop()
    settings = load_settings(None, partitions=1)
    pipeline = offline_pipeline(settings, OnnxRanker(Path(addresses.repository) / "ranker", 1))
    load_items(pipeline, (decode_item(value) for _, value in shop.catalogue()))
    log = _log(shop, 100_000, partitions=1)
    requests = [shop.request(shop.user(), n, log[-1].timestamp_ms)[1] for n in range(REQUESTS)]
    asked = [record._replace(offset=record.offset + len(log)) for record in records(requests, 1)]
    with asyncio.Runner() as runner:
        events_s = runner.run(_run(pipeline, log, partitions=1))
        slates_s = runner.run(_run(pipeline, asked, partitions=1, batch=64))
    section.add("state only", len(log) / events_s, "events/s", Budget("at least", SIMULATED_PER_S))
    section.add("slates", len(asked) / slates_s, "slates/s", Budget("at least", SLATES_PER_S), "onnxruntime")
    return section


def _pipeline(settings: Settings, store: FeatureStore) -> Pipeline:
    ids = {settings.topic(name): "bench" for name in ("events", "items")}
    return Pipeline(store, None, settings, clock=lambda at_ms: at_ms, topic_ids=ids)


def _log(shop: Shop, events: int, partitions: int = PARTITIONS) -> Sequence[Record]:
    lines = (value for _, value in shop.history(events, int(time.time() * 1000)))
    return list(records(lines, partitions))


async def _run(pipeline: Pipeline, log: Iterable[Record], partitions: int = PARTITIONS, batch: int = BATCH) -> float:
    """Return the seconds that the log takes."""
    began = time.perf_counter()
    async for _ in run(pipeline, log, partitions=partitions, batch_events=batch):
        pass
    return time.perf_counter() - began
