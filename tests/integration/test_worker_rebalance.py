"""Workers that come, go and die: every event is applied exactly once, and another owner takes over."""

import asyncio
import json
import signal
import time
from collections import Counter
from pathlib import Path

from streams.features.touch import unpack
from streams.features.user import unpack_state
from streams.settings import Settings
from streams.store.redis import RedisStore
from tests.integration.conftest import RunningStack
from tests.integration.processes import Reader, await_applied, clicks, own_settings, publish, request, stored, worker
from tests.support import wait_until


def partitions_of(log: list[dict[str, object]]) -> object:
    return log[-1]["partitions"] if log else None


def test_a_second_worker_takes_half_and_nothing_is_lost(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack, partitions=4)
    with worker(settings, tmp_path) as first:
        first.await_ready()
        publish(settings, "events", clicks(2_000))
        with worker(settings, tmp_path) as second:
            publish(settings, "events", clicks(2_000, start=2_000))
            second.await_ready()
            wait_until(
                lambda: len(partitions_of(first.logged("partitions placed")) or []) == 2, 40, "the first to give two up"
            )
            publish(settings, "events", clicks(2_000, start=4_000))
            await_applied(settings, 6_000)
            owned = [set(partitions_of(w.logged("partitions placed"))) for w in (first, second)]
            assert owned[0] | owned[1] == {0, 1, 2, 3}
            assert not owned[0] & owned[1]


def test_a_killed_worker_is_replaced_within_the_budget(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    with worker(settings, tmp_path) as first:
        first.await_ready()
        publish(settings, "events", clicks(3_000))
        first.kill()
        publish(settings, "events", [*clicks(3_000, start=3_000), request("u1", "after the kill")])
        killed = time.monotonic()
        with worker(settings, tmp_path) as second:
            Reader(settings, "recommendations").until(len, 40, "a slate from the second worker")
            assert time.monotonic() - killed < 20
            await_applied(settings, 6_000 + 1)
            assert not second.logged("records were lost: the broker's retention overtook this worker")


def test_a_worker_woken_after_its_session_changes_nothing(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    with worker(settings, tmp_path) as first:
        first.await_ready()
        publish(settings, "events", clicks(200))
        await_applied(settings, 200)
        first.process.send_signal(signal.SIGSTOP)
        with worker(settings, tmp_path) as second:
            publish(settings, "events", clicks(400, start=200))
            second.await_ready()
            await_applied(settings, 600)
            first.process.send_signal(signal.SIGCONT)
            publish(settings, "events", clicks(400, start=600))
            await_applied(settings, 1_000)
            assert not first.ended()
    assert touches(settings) == Counter(touched(value) for _, value in clicks(1_000))


def touched(value: bytes) -> tuple[str, str]:
    event = json.loads(value)
    return event["user_id"], event["item_id"]


def touches(settings: Settings) -> dict[tuple[str, str], int]:
    """Return how often each user touched each item, as the states say (they count to 15)."""

    async def ask() -> dict[tuple[str, str], int]:
        store = RedisStore.from_settings(settings)
        try:
            return {
                (user, item): unpack(word).touches
                for p in range(settings.partitions)
                async for user, packed in store.states(p)
                for item, word in unpack_state(packed).items.items()
            }
        finally:
            await store.close()

    return asyncio.run(ask())


def test_the_last_outbox_is_published_again_by_the_next_owner(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    for _ in range(2):
        with worker(settings, tmp_path) as one:
            one.await_ready()
            if not stored(settings).get("slates"):
                publish(settings, "events", [request("u1", "only one")])
            Reader(settings, "recommendations").until(len, 20, "the slate")
            one.kill()
    slates = Reader(settings, "recommendations").until(lambda values: len(values) >= 2, 20, "the slate again")
    assert json.dumps(slates[0]) == json.dumps(slates[1])
