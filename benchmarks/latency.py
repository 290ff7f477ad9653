"""Event to slate: requests at a steady rate, each after some signals of its user, against the bare hop of the broker.

Before it the shop's catalogue and a history of its users are taken in. A request's latency counts from when it should
have been sent to when its slate was consumed.
"""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks import floors
from benchmarks.deployment import PROMPT, Deployment
from benchmarks.paced import Arrival, Due, Reader, latencies_ms, send
from benchmarks.report import Budget, Section, percentile
from benchmarks.shop import SIGNALS_A_VISIT, Shop
from streams.contracts.topics import ITEMS, RECOMMENDATIONS
from streams.embedded.stack import Addresses

HISTORY_EVENTS = 100_000
P99_MS = {100: 15.0, 300: 20.0}
OVER_HOP_MS = 6.0
P50_MS_AT_300 = 8.0
WARM_S = 2.0
"""Requests of so long at the start are answered and checked, but not counted."""


class _Answer(msgspec.Struct):
    request_id: str | None
    served_by: str
    items: list[msgspec.Raw]


_decode = msgspec.json.Decoder(_Answer).decode


def measure(addresses: Addresses, folder: Path, seconds: float, command: str) -> list[Section]:
    """Measure each rate on topics of its own."""
    return [_at_rate(addresses, folder, rate, seconds, command) for rate in P99_MS]


def prepare(deployment: Deployment, shop: Shop, events: int) -> None:
    """Start the worker and have it take in the catalogue, then a history."""
    deployment.start()
    deployment.watch(deployment.items_written, deployment.publish(shop.catalogue(), ITEMS))
    published = deployment.publish(shop.history(events, int(time.time() * 1000)))
    deployment.watch(lambda: deployment.stats().get("applied", 0), published)
    time.sleep(2.0)  # the counters of readers follow the commits


def visits(shop: Shop, per_s: int, requests: int) -> Iterator[Due]:
    """Yield requests at that rate, and evenly between them the signals of their users."""
    messages = SIGNALS_A_VISIT + 1
    for n in range(requests):
        user, at_ms = shop.user(), int(time.time() * 1000)
        for i in range(messages):
            last = i == SIGNALS_A_VISIT
            pair = shop.request(user, n, at_ms) if last else shop.signal(user, at_ms)
            yield Due((n + i / messages) / per_s, pair, f"r-{n}" if last else None)


def _at_rate(addresses: Addresses, folder: Path, rate: int, seconds: float, command: str) -> Section:
    section = Section(f"event to slate at {rate} requests/s", command)
    events_per_s = rate * (SIGNALS_A_VISIT + 1)
    shop = Shop()
    with Deployment(addresses, folder) as deployment:
        prepare(deployment, shop, HISTORY_EVENTS)
        hop = floors.hop(addresses, events_per_s, min(seconds, 10.0), deployment.settings.partitions)
        floors.add_redis(section, addresses)
        floors.add_triton(section, addresses)
        reader = Reader(deployment.consumer(RECOMMENDATIONS), lambda value: _decode(value).request_id or "")
        load = list(visits(shop, rate, int(rate * (WARM_S + seconds))))
        sent = send(deployment.producer(PROMPT), deployment.settings.topic("events"), load)
        arrivals = reader.finish(len(sent))
        deployment.check()
    note = f"{events_per_s} messages/s, produce to consume, worker idle beside it"
    section.floor("broker hop, p50", percentile(hop, 0.5), "ms", note)
    section.floor("broker hop, p99", percentile(hop, 0.99), "ms")
    times = latencies_ms(sent, arrivals, int(rate * WARM_S))
    if times:
        _add_latencies(section, rate, times, percentile(hop, 0.5))
    _add_answers(section, sent, arrivals)
    return section


def _add_latencies(section: Section, rate: int, times: list[float], hop_ms: float) -> None:
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    over = Budget("at most", hop_ms + OVER_HOP_MS, f"at most the hop + {OVER_HOP_MS:g}")
    budget = over if rate == min(P99_MS) else Budget("at most", P50_MS_AT_300)
    section.add("slate, p50", p50, "ms", budget, f"{len(times)} requests, {SIGNALS_A_VISIT} signals before each")
    section.add("slate, p90", percentile(times, 0.9), "ms")
    section.add("slate, p99", p99, "ms", Budget("at most", P99_MS[rate]))
    section.add("slate, slowest", times[-1], "ms")
    section.add("slate p50 less the hop", p50 - hop_ms, "ms")
    section.add("slate p50 / hop", p50 / hop_ms, "x")


def _add_answers(section: Section, sent: dict[str, float], arrivals: dict[str, Arrival]) -> None:
    answers = [_decode(arrivals[i].value) for i in sent if i in arrivals]
    for served_by, count in sorted(Counter(answer.served_by for answer in answers).items()):
        section.add(f"served by {served_by}", 100 * count / len(sent), "%")
    if len(answers) < len(sent):
        section.broken.append(f"{len(sent) - len(answers)} of {len(sent)} requests were not answered")
    if empty := sum(not answer.items for answer in answers):
        section.broken.append(f"{empty} slates are empty")
