"""Events in, slates and dead letters out, through the real worker: every kind of request, every kind of bad input."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from streams.contracts.partition import partition_of
from tests.deployment import Deployment
from tests.integration.conftest import RunningStack
from tests.support import wait_until

NOW_MS = int(time.time() * 1000)
ITEMS = [
    {"item_id": "tent", "title": "Red tent", "category": ["outdoor", "tents"], "price": 90},
    {"item_id": "stove", "title": "Gas stove", "category": ["outdoor", "stoves"], "price": 30},
    {"item_id": "mug", "title": "Red mug", "category": ["kitchen", "mugs"], "price": 5},
    {"item_id": "gone", "title": "Red lamp", "category": ["outdoor", "lamps"], "in_stock": False},
]


def click(user: str, item: str, **fields: Any) -> dict[str, Any]:
    return {"type": "click", "user_id": user, "item_id": item} | fields


def pairs(*events: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(event["user_id"].encode(), json.dumps(event).encode()) for event in events]


@pytest.fixture(scope="module")
def shop(stack: RunningStack) -> Iterator[Deployment]:
    """A deployment with a catalogue and a little behaviour, known to its worker."""
    deployment = Deployment(
        stack.kafka, stack.redis_url, stack.triton, stack.run_dir, push_on="cart", triton_timeout_s=5
    )
    try:
        deployment.start_worker()
        deployment.produce([(i["item_id"].encode(), json.dumps(i).encode()) for i in ITEMS], "items")
        deployment.produce(pairs(*(click(f"w{n}", item) for n in range(5) for item in ("tent", "stove", "mug"))))
        probes = iter(range(100))

        def is_known() -> bool:
            name = f"probe-{next(probes)}"
            (slate,) = ask(deployment, {"request_id": name, "user_id": name, "kind": "similar", "item_id": "tent"})
            return any(item["source"] == "covisit" for item in slate["items"])

        wait_until(is_known, 20, "what was clicked together")
        yield deployment
    finally:
        deployment.stop()


def ask(deployment: Deployment, request: dict[str, Any], topic: str = "recommendations") -> list[dict[str, Any]]:
    """Publish a request and return its slates."""
    deployment.produce(pairs({"type": "request"} | request))
    found: list[dict[str, Any]] = []

    def is_answered() -> bool:
        found[:] = [s for s in deployment.values(topic) if s["request_id"] == request["request_id"]]
        return bool(found)

    wait_until(is_answered, 20, f"an answer to {request}")
    return found


def ids(slate: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in slate["items"]]


def test_a_request_sees_the_events_before_it(shop: Deployment) -> None:
    shop.produce(pairs(click("anna", "mug")))
    (slate,) = ask(shop, {"request_id": "a1", "user_id": "anna", "k": 3})
    assert (slate["served_by"], slate["model"], slate["because"]) == ("triton", "ranker/1", None)
    assert "mug" in ids(slate)
    assert "gone" not in ids(slate)
    first = slate["items"][0]
    assert first["reason"]
    assert first["propensity"] == 1.0
    assert set(first["p"]) == {"click", "cart", "purchase"}


def test_every_kind_answers_what_it_is_asked(shop: Deployment) -> None:
    (similar,) = ask(shop, {"request_id": "k1", "user_id": "bert", "kind": "similar", "item_id": "tent"})
    assert "stove" in ids(similar)
    assert "tent" not in ids(similar)
    (found,) = ask(shop, {"request_id": "k2", "user_id": "bert", "kind": "search", "query": "red", "k": 2})
    assert set(ids(found)) == {"tent", "mug"}
    (ranked,) = ask(shop, {"request_id": "k3", "user_id": "bert", "kind": "rerank", "items": ["mug", "stove"]})
    assert set(ids(ranked)) == {"mug", "stove"}
    (bundle,) = ask(shop, {"request_id": "k4", "user_id": "bert", "kind": "bundle", "items": ["tent"]})
    assert "stove" in ids(bundle)
    filters = {"category": ["kitchen"], "max_price": 10}
    (filtered,) = ask(shop, {"request_id": "k5", "user_id": "bert", "filters": filters})
    assert ids(filtered) == ["mug"]


def test_deadlines_replies_and_pushes(shop: Deployment) -> None:
    late = {"type": "request", "request_id": "late", "user_id": "cora", "deadline_ms": NOW_MS - 60_000}
    cart = {"type": "cart", "user_id": "dora", "item_id": "tent"}
    shop.produce(pairs(late, cart, cart | {"item_id": "mug"}))
    ask(shop, {"request_id": "after", "user_id": "cora"})
    ask(shop, {"request_id": "dora", "user_id": "dora"})
    slates = shop.values("recommendations")
    assert not [slate for slate in slates if slate["request_id"] == "late"]
    pushed = [slate for slate in slates if slate["request_id"] is None and slate["user_id"] == "dora"]
    assert len(pushed) == 1, "the second cart comes within push_every_ms"
    assert asyncio.run(stats(shop))["expired"] == 1


async def stats(deployment: Deployment) -> dict[str, int]:
    store = deployment.store()
    found = await store.stats(range(deployment.settings.partitions))
    await store.close()
    return found


def event(**fields: Any) -> bytes:
    return json.dumps(click("eve", "mug") | fields).encode()


WITHOUT_ITEM = b'{"type": "click", "user_id": "eve"}'
BAD: dict[str, tuple[bytes | None, bytes | None, str]] = {
    "not JSON": (b"eve", b"{type", "$"),
    "not UTF-8": (b"eve", b'{"type": "click", "user_id": "eve", "item_id": "\xff"}', "$"),
    "over 1 MB": (b"eve", event(context={"page": "x" * 1_000_001}), "$"),
    "NaN": (b"eve", b'{"type": "rating", "user_id": "eve", "item_id": "i", "value": NaN}', "$"),
    "unknown type": (b"eve", event(type="wink"), "$.type"),
    "missing field": (b"eve", WITHOUT_ITEM, "$"),
    "mistyped field": (b"eve", event(item_id=7), "$.item_id"),
    "seconds": (b"eve", event(at_ms=NOW_MS // 1000), "$.at_ms"),
    "the far future": (b"eve", event(at_ms=NOW_MS + 10 * 86_400_000), "$.at_ms"),
    "an id of 100 kB": (b"eve", event(item_id="x" * 100_000), "$.item_id"),
    "a user of 100 kB": (b"u" * 100_000, event(user_id="u" * 100_000), "$.user_id"),
    "another key": (b"adam", event(), "key"),
    "a key of 900 kB": (b"k" * 900_000, event(), "key"),
    "a null key": (None, event(), "key"),
    "a null value": (b"eve", None, "$"),
    "a topic of our own": (
        b"eve",
        json.dumps({"type": "request", "user_id": "eve", "request_id": "r", "reply_to": "events"}).encode(),
        "$.reply_to",
    ),
}


def test_each_bad_event_is_a_dead_letter_and_nothing_else_is_lost(shop: Deployment) -> None:
    before = asyncio.run(stats(shop))
    good = pairs(*(click("eve", item) for item in ("tent", "mug")))
    big = Producer(
        {
            "bootstrap.servers": shop.settings.kafka_bootstrap,
            "partitioner": "murmur2_random",
            "message.max.bytes": 2_000_000,
        }
    )
    home = partition_of(b"eve", shop.settings.partitions)
    events = shop.settings.topic("events")
    for key, value, _ in BAD.values():
        big.produce(events, value, key, partition=home)
    elsewhere = (home + 1) % shop.settings.partitions  # where librdkafka's own default may put it
    big.produce(events, event(), b"eve", partition=elsewhere)
    assert big.flush(30) == 0
    shop.produce(good)
    ask(shop, {"request_id": "after the bad", "user_id": "eve"})

    def letters() -> list[dict[str, Any]]:
        return [letter for letter in shop.values("dead-letters") if letter["topic"] == events]

    wait_until(lambda: len(letters()) >= len(BAD) + 1, 20, "all dead letters")
    found = letters()
    assert len(found) == len(BAD) + 1
    assert sorted(letter["path"] for letter in found) == sorted([*(path for *_, path in BAD.values()), "key"])
    assert sum("murmur2_random" in letter["reason"] for letter in found) == 1
    assert max(letter["size_bytes"] for letter in found) > 1_000_000
    after = asyncio.run(stats(shop))
    assert after["dead_letters"] - before.get("dead_letters", 0) == len(BAD) + 1
    assert after["applied"] - before["applied"] == len(good) + 1


def test_without_triton_in_time_the_blend_answers_and_says_so(stack: RunningStack) -> None:
    deployment = Deployment(
        stack.kafka, stack.redis_url, stack.triton, stack.run_dir, triton_timeout_s=0.000_001, partitions=1
    )
    try:
        deployment.start_worker()
        deployment.produce(pairs(click("fred", "tent"), click("fred", "mug")))
        (slate,) = ask(deployment, {"request_id": "f1", "user_id": "fred"})
        assert slate["served_by"] == "popular"
        assert "did not answer within" in slate["because"]
        assert set(ids(slate)) == {"tent", "mug"}
    finally:
        deployment.stop()
