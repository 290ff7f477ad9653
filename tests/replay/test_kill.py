"""Workers killed by SIGKILL in mid-stream: every event counts once, every request is answered, repeats are equal."""

import asyncio
import threading
from collections import Counter, defaultdict
from itertools import islice

import msgspec
import pytest

from streams.contracts.events import Request, Tick, decode_event
from streams.features.user import EMPTY, UserState, fold, unpack_state
from tests.deployment import Deployment
from tests.logs import shop_log
from tests.support import wait_until

EVENTS = 12_000
KILLS_AT = (1_500, 5_000)


async def stored_states(deployment: Deployment) -> dict[str, UserState]:
    store = deployment.store()
    states = {}
    for p in range(deployment.settings.partitions):
        async for user, packed in store.states(p):
            states[user] = unpack_state(packed)
    await store.close()
    return states


async def counted(deployment: Deployment) -> dict[str, int]:
    store = deployment.store()
    stats = await store.stats(range(deployment.settings.partitions))
    await store.close()
    return stats


def processed(deployment: Deployment) -> int:
    stats = asyncio.run(counted(deployment))
    return sum(stats.get(name, 0) for name in ("applied", "duplicates", "dead_letters", "ticks"))


def fault_free(deployment: Deployment) -> tuple[dict[str, UserState], Counter[str]]:
    """Fold the log as it lies in the topic, in memory, with nothing but the fold itself."""
    states: dict[str, UserState] = defaultdict(lambda: EMPTY)
    stats: Counter[str] = Counter()
    for record in deployment.read("events"):
        assert record.value is not None
        event = decode_event(record.value)
        if isinstance(event, Tick):
            stats["ticks"] += 1
            continue
        before = states[event.user_id]
        after = fold(before, event, event.at_ms or record.timestamp_ms)
        stats["duplicates" if after is before else "applied"] += 1
        states[event.user_id] = after
    return {user: state for user, state in states.items() if state.last_ms}, stats


@pytest.mark.timeout(240)
def test_killed_workers_lose_and_repeat_nothing(deployment: Deployment) -> None:
    log = list(shop_log(EVENTS))
    worker = deployment.start_worker()
    pieces = iter(log)

    def publish() -> None:
        while piece := list(islice(pieces, 50)):
            deployment.produce(piece)

    publisher = threading.Thread(target=publish)
    publisher.start()
    for kill_at in KILLS_AT:
        wait_until(lambda at=kill_at: processed(deployment) >= at, 60, f"{kill_at} records")  # type: ignore[misc]
        deployment.kill(worker)
        worker = deployment.start_worker(ready=False)
    publisher.join()
    deployment.await_ready(worker)
    wait_until(lambda: processed(deployment) >= deployment.count("events"), 60, "the whole log")

    expected, stats = fault_free(deployment)
    assert asyncio.run(stored_states(deployment)) == expected
    found = asyncio.run(counted(deployment))
    assert {name: found.get(name, 0) for name in stats} == dict(stats)

    asked = {request_id for _, value in log if (request_id := _asks(value))}
    wait_until(lambda: asked <= {s["request_id"] for s in deployment.values("recommendations")}, 20, "all slates")
    assert {len(versions) for versions in slate_versions(deployment).values()} == {1}


def test_a_new_owner_repeats_the_last_slates_byte_for_byte(deployment: Deployment) -> None:
    requests = [
        (user.encode(), msgspec.json.encode(Request(user_id=user, request_id=f"r-{user}")))
        for user in (f"u{n}" for n in range(20))
    ]
    deployment.produce(shop_log(500))
    worker = deployment.start_worker()
    deployment.produce(requests)
    wait_until(lambda: processed(deployment) >= 520, 30, "all requests")
    deployment.kill(worker)
    published = deployment.count("recommendations")
    deployment.start_worker()
    wait_until(lambda: deployment.count("recommendations") > published, 30, "repeated slates")
    assert {len(versions) for versions in slate_versions(deployment).values()} == {1}


def slate_versions(deployment: Deployment) -> dict[str, set[bytes]]:
    """Return the different values that were published under each slate id."""
    versions = defaultdict(set)
    for record in deployment.read("recommendations"):
        assert record.value is not None
        versions[msgspec.json.decode(record.value)["slate_id"]].add(record.value)
    return versions


def _asks(value: bytes) -> str | None:
    event = decode_event(value)
    return event.request_id if isinstance(event, Request) else None


def test_the_log_has_what_the_test_needs() -> None:
    kinds = Counter(type(decode_event(value)).__name__ for _, value in shop_log(EVENTS))
    assert min(kinds[name] for name in ("Alias", "Forget", "Purchase", "Uncart", "Request")) >= 10
    assert len(set(shop_log(EVENTS))) < EVENTS, "no repeats"
