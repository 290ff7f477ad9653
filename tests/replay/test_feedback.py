"""Slates served, outcomes sent, a worker killed by SIGKILL twice: one record a slate, and the one it should be."""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.onnx_ranker import OnnxRanker
from streams.contracts.events import Click, Impression, Purchase, Request
from streams.contracts.slates import Feedback, decode_feedback
from streams.decode import Record
from streams.settings import Settings
from streams.simulate import load_items, offline_pipeline
from streams.store.memory import MemoryStore
from tests.deployment import Deployment
from tests.integration.conftest import RunningStack
from tests.replay.test_kill import processed
from tests.replay.test_parity import CATALOGUE, put_catalogue
from tests.support import wait_until

USERS = 60
START_MS = 1_760_000_000_000
MINUTE_MS = 60_000
WINDOW_S = 600.0
_encode = msgspec.json.Encoder().encode


@pytest.fixture
def deployment(stack: RunningStack) -> Any:
    made = Deployment(
        stack.kafka, stack.redis_url, stack.triton, stack.run_dir,
        triton_timeout_s=10.0, tick_after_ms=500, attribution_window_s=WINDOW_S,
    )  # fmt: skip
    yield made
    made.stop()


def asked(user: str, minute: float) -> tuple[bytes, bytes]:
    at_ms = START_MS + round(minute * MINUTE_MS)
    return user.encode(), _encode(Request(user_id=user, request_id=f"r-{user}", at_ms=at_ms, k=5))


def outcomes(slate: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return what a user does with its slate: sees the first three items, clicks one of them, buys the fourth."""
    user, items = slate["user_id"], [one["item_id"] for one in slate["items"]]
    common = {"user_id": user, "at_ms": START_MS + 2 * MINUTE_MS}
    events = [
        Impression(**common, request_id=slate["request_id"], items=items[:3]),
        Click(**common, request_id=slate["request_id"], item_id=items[int(user[1:]) % 3], event_id="click"),
        Purchase(**common, item_id=items[3], event_id="purchase"),
        Click(**common, request_id=slate["request_id"], item_id=items[int(user[1:]) % 3], event_id="click"),
    ]
    return [(user.encode(), _encode(event)) for event in events]


def slates(deployment: Deployment) -> dict[str, dict[str, Any]]:
    return {one["user_id"]: one for one in deployment.values("recommendations") if one["user_id"].startswith("u")}


def closed(deployment: Deployment) -> dict[str, set[bytes]]:
    """Return the different values that were published under each feedback id."""
    found = defaultdict(set)
    for record in deployment.read("feedback"):
        assert record.value is not None
        one = decode_feedback(record.value)
        assert isinstance(one, Feedback)
        assert record.key == one.user_id.encode()
        assert int(one.feedback_id.split("-")[1]) == record.partition
        found[one.feedback_id].add(record.value)
    return found


async def in_process(settings: Settings, log: list[Record], repository: Path) -> list[bytes]:
    """Return the feedback of the log as it lies in the topic, ticks among it, one record at a time."""
    pipeline = offline_pipeline(settings, OnnxRanker(repository / "ranker", 1), MemoryStore())
    load_items(pipeline, CATALOGUE)
    await pipeline.start()
    await pipeline.assign(range(settings.partitions))
    feedback: list[bytes] = []
    for record in log:
        outcome = await pipeline.run({record.partition: [record]})
        feedback += [m.value for messages in outcome.outbox.values() for m in messages if m.topic == "feedback"]
    return feedback


@pytest.mark.timeout(240)
def test_killed_workers_lose_and_repeat_no_feedback(deployment: Deployment, stack: RunningStack) -> None:
    asyncio.run(put_catalogue(deployment))
    users = [f"u{n}" for n in range(USERS)]
    worker = deployment.start_worker()
    deployment.produce(asked(user, n / USERS) for n, user in enumerate(users))
    wait_until(lambda: set(slates(deployment)) == set(users), 30, "all slates")

    pairs = [pair for slate in slates(deployment).values() for pair in outcomes(slate)]
    deployment.produce(pairs[: len(pairs) // 2])
    wait_until(lambda: processed(deployment) > USERS, 30, "some outcomes")
    deployment.kill(worker)
    deployment.produce(pairs[len(pairs) // 2 :])
    worker = deployment.start_worker()
    wait_until(lambda: processed(deployment) >= deployment.count("events"), 30, "all outcomes")

    # One partition moves beyond the window; the others, which nobody writes to, follow by their ticks.
    deployment.produce([asked("v0", 30)])
    wait_until(lambda: closed(deployment), 30, "the first slate to close")
    deployment.kill(worker)
    deployment.start_worker()
    wait_until(lambda: len(closed(deployment)) >= USERS, 60, "all slates to close")

    found = closed(deployment)
    assert {len(versions) for versions in found.values()} == {1}
    records = [decode_feedback(value) for versions in found.values() for value in versions]
    joined = {one.user_id: one for one in records if isinstance(one, Feedback)}
    assert set(joined) == set(users)
    assert len(records) == USERS
    for user, one in joined.items():
        clicked = int(user[1:]) % 3
        assert [shown.outcome for shown in one.items] == [
            *("click" if place == clicked else None for place in range(3)), "purchase", None
        ]  # fmt: skip
        assert [shown.seen for shown in one.items] == [True, True, True, True, False]
    log = list(deployment.read("events"))
    expected = asyncio.run(in_process(deployment.settings, log, stack.repository))
    assert sorted(value for versions in found.values() for value in versions) == sorted(expected)
