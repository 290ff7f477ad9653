"""Throughput from a backlog: events without requests beside an empty Faust agent on the same log, then requests only.

The log is in Kafka before the worker starts, and the rate is taken from the first to the last event that Redis has.
"""

import time
from pathlib import Path

import msgspec

from benchmarks import floors
from benchmarks.deployment import Deployment
from benchmarks.paced import Reader
from benchmarks.report import Budget, Section
from benchmarks.shop import Shop
from streams.contracts.topics import EVENTS, ITEMS, RECOMMENDATIONS
from streams.embedded.stack import Addresses

EVENTS_IN_LOG = 200_000
REQUESTS = 5_000
EVENTS_PER_S = 30_000.0
TIMES_EMPTY = 2.0
SLATES_PER_S = 1_500.0


class _Answer(msgspec.Struct):
    request_id: str | None


_decode = msgspec.json.Decoder(_Answer).decode


def measure(addresses: Addresses, folder: Path, events: int, command: str) -> list[Section]:
    """Measure events, then slates on the state that they left."""
    shop = Shop()
    with Deployment(addresses, folder) as deployment:
        deployment.start()
        deployment.watch(deployment.items_written, deployment.publish(shop.catalogue(), ITEMS))
        deployment.end()
        return [
            _events(deployment, shop, addresses, events, command),
            _slates(deployment, shop, command),
        ]


def rate(seen: list[tuple[float, int]]) -> float:
    """Return progress per second from the first change to the last."""
    (began_s, first), (ended_s, last) = seen[1], seen[-1]
    return (last - first) / (ended_s - began_s) if ended_s > began_s else 0.0


def _events(deployment: Deployment, shop: Shop, addresses: Addresses, events: int, command: str) -> Section:
    section = Section(f"state-only ingest of {events:,} events", command)
    published = deployment.publish(shop.history(events, int(time.time() * 1000)))
    deployment.start(ready=False)
    ours = rate(deployment.watch(lambda: deployment.stats().get("applied", 0), published))
    deployment.end()
    settings = deployment.settings
    empty = floors.empty_agent(addresses, settings.topic(EVENTS), settings.partitions, published)
    section.floor("empty Faust agent", empty, "events/s", "async for event in stream: n += 1, same log")
    note = f"{shop.size.users:,} users, {shop.size.items:,} items; folded, counted, committed"
    section.add("worker", ours, "events/s", Budget("at least", EVENTS_PER_S), note)
    section.add("worker / empty agent", ours / empty, "x", Budget("at least", TIMES_EMPTY))
    stats = deployment.stats()
    if stats.get("dead_letters") or stats["applied"] != published:
        section.broken.append(f"{published} events were published, the worker's outcomes are {stats}")
    return section


def _slates(deployment: Deployment, shop: Shop, command: str) -> Section:
    section = Section(f"slates from a backlog of {REQUESTS:,} requests", command)
    now_ms = int(time.time() * 1000)
    deployment.publish(shop.request(shop.user(), n, now_ms) for n in range(REQUESTS))
    reader = Reader(deployment.consumer(RECOMMENDATIONS), lambda value: _decode(value).request_id or "")
    deployment.start(ready=False)
    slates = rate(deployment.watch(lambda: deployment.stats().get("slates", 0), REQUESTS))
    answered = len(reader.finish(REQUESTS))
    section.add("worker", slates, "slates/s", Budget("at least", SLATES_PER_S), "200 candidates each, k = 10")
    for name, count in sorted(deployment.stats().items()):
        if name.startswith("slates_"):
            section.add(f"served by {name.removeprefix('slates_')}", 100 * count / REQUESTS, "%")
    if answered != REQUESTS:
        section.broken.append(f"{REQUESTS - answered} of {REQUESTS} requests were not answered")
    return section
