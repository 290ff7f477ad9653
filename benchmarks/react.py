"""How soon a click tells: in the next slate of the same user, and, of a burst on a new item, in the slates of others.

One after the other on an otherwise idle stack. Times count from before the first message is produced to when the slate
that shows the effect was consumed.
"""

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec
from confluent_kafka import Consumer, Producer

from benchmarks.deployment import PROMPT, Deployment
from benchmarks.latency import prepare
from benchmarks.report import Budget, Section, percentile
from benchmarks.shop import Pair, Shop
from streams.contracts import events as ev
from streams.contracts.items import Item
from streams.contracts.topics import EVENTS, ITEMS, RECOMMENDATIONS
from streams.embedded.stack import Addresses
from streams.errors import StackFailed

HISTORY_EVENTS = 20_000
CLICKS, BURSTS = 200, 8
BURST_USERS = 50
"""So many users click the new item at once. More bursts than a slate has places would crowd each other out."""
SAME_USER_MS, OTHERS_MS = 15.0, 2_000.0
ASK_EVERY_S = 0.05
"""How often somebody who didn't click asks for a slate."""
LOST_S = 20.0

_encode = msgspec.json.Encoder().encode


class _Item(msgspec.Struct):
    item_id: str


class _Answer(msgspec.Struct):
    request_id: str | None
    items: list[_Item]


_decode = msgspec.json.Decoder(_Answer).decode


class _Client:
    """A shop that asks and waits."""

    def __init__(self, deployment: Deployment, shop: Shop) -> None:
        self.shop = shop
        self.numbers = count()
        self._producer: Producer = deployment.producer(PROMPT)
        self._consumer: Consumer = deployment.consumer(RECOMMENDATIONS)
        self._topic = deployment.settings.topic(EVENTS)

    def send(self, pairs: Iterator[Pair] | tuple[Pair, ...]) -> None:
        for key, value in pairs:
            self._producer.produce(self._topic, value, key)
        self._producer.poll(0)

    def slate(self, user: int, *before: Pair) -> tuple[list[str], float]:
        """Send what comes before it and a request; return the slate's items, and how long that took, ms."""
        number, began_s = next(self.numbers), time.perf_counter()
        self.send((*before, self.shop.request(user, number, _now_ms())))
        while time.perf_counter() - began_s < LOST_S:
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            answer = _decode(message.value())
            if answer.request_id == f"r-{number}":
                return [item.item_id for item in answer.items], (time.perf_counter() - began_s) * 1e3
        raise StackFailed(f"request r-{number} was not answered within {LOST_S:g} s")

    def close(self) -> None:
        self._producer.flush(LOST_S)
        self._consumer.close()


def measure(addresses: Addresses, folder: Path, command: str) -> list[Section]:
    """Measure both on topics of their own."""
    section, shop = Section("from a click to what it changes", command), Shop()
    with Deployment(addresses, folder) as deployment:
        prepare(deployment, shop, HISTORY_EVENTS)
        client = _Client(deployment, shop)
        try:
            _own(section, client)
            _others(section, client, deployment)
        finally:
            client.close()
        deployment.check()
    return [section]


def _own(section: Section, client: _Client) -> None:
    times, changed = [], 0
    for n in range(CLICKS):
        user = client.shop.user()
        before, _ = client.slate(user)
        after, took_ms = client.slate(user, _click(user, f"sku-{n * 7 % client.shop.size.items}"))
        changed += before != after
        times.append(took_ms)
    times.sort()
    section.add("a user's own slate, p50", percentile(times, 0.5), "ms", Budget("at most", SAME_USER_MS))
    section.add("a user's own slate, p99", percentile(times, 0.99), "ms", Budget("at most", SAME_USER_MS))
    section.add("own slates that changed", 100 * changed / CLICKS, "%", note=f"of {CLICKS} after a click each")


def _others(section: Section, client: _Client, deployment: Deployment) -> None:
    times = sorted(_burst(n, client, deployment) for n in range(BURSTS))
    note = (
        f"{BURSTS} new items, each clicked by {BURST_USERS} users at once; another asks every {ASK_EVERY_S * 1e3:g} ms"
    )
    section.add("slates of others, p50", percentile(times, 0.5), "ms", Budget("at most", OTHERS_MS), note)
    section.add("slates of others, slowest", times[-1], "ms", Budget("at most", OTHERS_MS))


def _burst(n: int, client: _Client, deployment: Deployment) -> float:
    """Publish a new item and a burst of clicks on it; return how long it took into the slate of somebody else, ms."""
    item = Item(item_id=f"new-{n}", title=f"Novelty {n}", category=["department-1", "category-1"], price=9.5)
    written = deployment.items_written()
    deployment.publish([(item.item_id.encode(), _encode(item))], ITEMS)
    deployment.watch(deployment.items_written, written + 1)
    time.sleep(1.0)  # the worker reads the catalogue's changes
    first = 1_000_000 + n * BURST_USERS
    began_s = time.perf_counter()
    client.send(_click(first + user, item.item_id) for user in range(BURST_USERS))
    while time.perf_counter() - began_s < LOST_S:
        items, _ = client.slate(2_000_000 + n)
        if item.item_id in items:
            return (time.perf_counter() - began_s) * 1e3
        time.sleep(ASK_EVERY_S)
    raise StackFailed(f"{item.item_id} did not come into the slate of somebody else within {LOST_S:g} s")


def _click(user: int, item_id: str) -> Pair:
    user_id, event_id = f"user-{user}", f"c-{time.perf_counter_ns()}"
    return user_id.encode(), _encode(ev.Click(user_id=user_id, event_id=event_id, at_ms=_now_ms(), item_id=item_id))


def _now_ms() -> int:
    return int(time.time() * 1000)
