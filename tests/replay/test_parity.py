"""Live worker and in-process pipeline give the same states and, on one partition, slates and feedback to the bit."""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.onnx_ranker import OnnxRanker
from streams.contracts.items import Item
from streams.contracts.slates import Feedback, decode_feedback
from streams.contracts.topics import EVENTS, ITEMS
from streams.features.user import FOLD_VERSION, unpack_state
from streams.kafka_admin import topic_ids
from streams.simulate import load_items, offline_pipeline, records, run
from streams.store.base import ItemChange
from streams.store.memory import MemoryStore
from tests.deployment import Deployment
from tests.integration.conftest import RunningStack
from tests.logs import shop_log
from tests.replay.test_kill import processed, stored_states
from tests.support import wait_until

EVENTS_ONE, EVENTS_MANY = 4_000, 6_000
REFRESH = 250
CATALOGUE = [
    Item(
        item_id=f"i{n}",
        title=f"thing {n}",
        brand=f"brand {n % 7}",
        category=[f"c{n % 3}", f"c{n % 3}.{n % 11}"],
        price=1.0 + n,
        in_stock=n % 17 != 0,
    )
    for n in range(110)
]
UNEQUAL = ("at_ms", "latency_ms")
"""Fields of a slate that tell of the run: when, and how fast."""


async def put_catalogue(deployment: Deployment) -> None:
    """Write the catalogue before any worker lives, so that all of it is there from the first event on."""
    store, names = deployment.store(), (EVENTS, ITEMS)
    ids = topic_ids(deployment.settings, [deployment.settings.topic(name) for name in names])
    await store.open(
        partitions=deployment.settings.partitions,
        fold_version=FOLD_VERSION,
        topic_ids={name: ids[deployment.settings.topic(name)] for name in names},
    )
    changes = [ItemChange(item.item_id, msgspec.json.encode(item)) for item in CATALOGUE]
    assert await store.upsert_items(0, 0, changes)
    await store.close()


async def simulated(deployment: Deployment, log: list[tuple[bytes, bytes]], repository: Path) -> tuple[Any, Any, Any]:
    """Return the states, slates and feedback of the same log in process."""
    settings, store = deployment.settings, MemoryStore()
    pipeline = offline_pipeline(settings, OnnxRanker(repository / "ranker", 1), store)
    load_items(pipeline, CATALOGUE)
    slates: dict[str, list[dict[str, Any]]] = defaultdict(list)
    feedback: list[bytes] = []
    numbered = records((value for _, value in log), settings.partitions)
    async for outcome in run(pipeline, numbered, partitions=settings.partitions, batch_events=700):
        assert not outcome.fenced
        for message in (message for outbox in outcome.outbox.values() for message in outbox):
            if message.topic == "recommendations":
                slate = msgspec.json.decode(message.value)
                slates[slate["request_id"]].append(comparable(slate))
            elif message.topic == "feedback":
                feedback.append(message.value)
    states = {user: unpack_state(packed) for p in range(settings.partitions) async for user, packed in store.states(p)}
    return states, slates, feedback


def comparable(slate: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in slate.items() if name not in UNEQUAL}


def without_aliases(events: int, seed: int) -> list[tuple[bytes, bytes]]:
    """A log whose events all lie in one order: what an alias sends arrives when it arrives."""
    return [pair for pair in shop_log(events, seed=seed) if b'"alias"' not in pair[1]]


@pytest.mark.timeout(120)
def test_slates_and_feedback_are_equal_to_the_bit_on_one_partition(stack: RunningStack) -> None:
    deployment = Deployment(
        stack.kafka,
        stack.redis_url,
        stack.triton,
        stack.run_dir,
        partitions=1,
        snapshot_every_events=REFRESH,
        triton_timeout_s=10.0,
        tick_after_ms=600_000,
        explore_share=0.3,
    )
    try:
        asyncio.run(put_catalogue(deployment))
        log = without_aliases(EVENTS_ONE, seed=3)
        deployment.start_worker()
        deployment.produce(log)
        wait_until(lambda: processed(deployment) >= len(log), 60, "the whole log")
        states, slates, feedback = asyncio.run(simulated(deployment, log, stack.repository))
        assert asyncio.run(stored_states(deployment)) == states
        live: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for slate in deployment.values("recommendations"):
            live[slate["request_id"]].append(comparable(slate))
        assert len(live) > 50
        assert sum(len(slate["items"]) for of in live.values() for slate in of) > 200
        assert any(item["propensity"] < 0.5 for of in live.values() for slate in of for item in slate["items"])
        assert {slate["because"] for of in live.values() for slate in of} == {None}
        assert live == slates
        wait_until(lambda: deployment.count("feedback") >= len(feedback), 20, "all feedback")
        assert [record.value for record in deployment.read("feedback")] == feedback
        joined = [one for one in map(decode_feedback, feedback) if isinstance(one, Feedback)]
        assert len(joined) > 20
        assert sum(shown.outcome is not None for one in joined for shown in one.items) > 5
    finally:
        deployment.stop()


@pytest.mark.timeout(120)
def test_states_are_equal_on_any_number_of_partitions(deployment: Deployment, stack: RunningStack) -> None:
    log = without_aliases(EVENTS_MANY, seed=4)
    deployment.start_worker()
    deployment.produce(log)
    wait_until(lambda: processed(deployment) >= len(log), 60, "the whole log")
    states, _, _ = asyncio.run(simulated(deployment, log, stack.repository))
    assert len(states) > 100
    assert asyncio.run(stored_states(deployment)) == states
