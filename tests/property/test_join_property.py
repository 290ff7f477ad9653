"""Every served slate closes exactly once, wherever batches are cut and whoever owns the partition."""

import asyncio
import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.decode import Record
from streams.online.join import CLOSED_BY_TICK
from streams.store.memory import MemoryStore
from tests.property.logs import ITEMS
from tests.unit.building import RowRanker, at, bodies, item, raw, run_all, started

CATALOGUE = [item(name, price=n) for n, name in enumerate(ITEMS)]
WINDOW_S = 600.0
LENGTH = 40
_requests = st.sampled_from([f"r{n}" for n in range(6)])
_steps = st.one_of(
    st.fixed_dictionaries({"type": st.just("request"), "request_id": _requests, "k": st.integers(1, 4)}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["click", "cart", "purchase"]), "item_id": st.sampled_from([*ITEMS, "other"])},
        optional={"request_id": _requests, "event_id": st.sampled_from(["e1", "e2"])},
    ),
    st.fixed_dictionaries(
        {"type": st.just("impression"), "request_id": _requests, "items": st.lists(st.sampled_from(ITEMS), max_size=3)}
    ),
    st.fixed_dictionaries({"type": st.just("forget")}),
    st.fixed_dictionaries({"type": st.just("alias"), "login": st.just("u2")}),
)
_timed = st.tuples(_steps, st.sampled_from(["u1", "u2"]), st.integers(0, 4), st.integers(-3, 1))
"""A step, whose it is, the minutes until it comes, and how far its own clock is off."""


def numbered(log: list[Any]) -> list[Record]:
    """Return the records of a log of `_timed`; Kafka's clock only goes forward."""
    minute, made = 0, []
    for offset, (step, user, later, off) in enumerate(log):
        minute += later
        value = json.dumps(step | {"user_id": user, "at_ms": at(minute + off)}).encode()
        made.append(raw(value, user.encode(), offset=offset, timestamp_ms=at(minute)))
    return made


async def joined(log: list[Record], cuts: set[int], dropped: set[int], ends: int) -> tuple[Any, ...]:
    """Run a log, then ticks until nothing waits; return slates, feedback and counts."""
    store = MemoryStore()
    pipeline = await started(store, RowRanker(), CATALOGUE, attribution_window_s=WINDOW_S)
    outcomes = []
    tick = json.dumps({"type": "tick", "partition": 0, "at_ms": at(100_000)}).encode()
    log = log + [raw(tick, None, offset=len(log) + n, timestamp_ms=at(100_000)) for n in range(ends)]
    begin = 0
    for end in sorted({*cuts, len(log)}):
        outcomes += await run_all(pipeline, log[begin:end])
        begin = end
        if end in dropped:
            await pipeline.assign([0])
    assert await store.waiting([0]) == {0: {}}
    slates = [{**slate, "at_ms": 0, "latency_ms": 0} for slate in bodies(outcomes, "recommendations")]
    return slates, bodies(outcomes, "feedback"), await store.stats([0])


@settings(max_examples=150)
@given(st.lists(_timed, min_size=5, max_size=LENGTH), st.sets(st.integers(1, LENGTH)), st.sets(st.integers(1, LENGTH)))
def test_every_served_slate_closes_exactly_once(log: list[Any], cuts: set[int], dropped: set[int]) -> None:
    records, ends = numbered(log), 1 + LENGTH // CLOSED_BY_TICK
    cuts = {cut for cut in cuts if cut < len(records)}
    slates, feedback, stats = whole = asyncio.run(joined(records, set(), set(), ends))
    assert asyncio.run(joined(records, cuts, dropped, ends)) == whole

    served = [slate["slate_id"] for slate in slates if slate["items"]]
    closed = Counter(one["slate_id"] for one in feedback if one["type"] == "feedback")
    assert set(closed) <= set(served)
    assert set(closed.values()) <= {1}
    assert len(served) == len(closed) + stats.get("feedback_erased", 0)
    assert stats.get("feedback_written", 0) == len(closed)
    assert not {"feedback_lost", "feedback_failed"} & set(stats)
    assert all(one["closed_ms"] >= one["at_ms"] - 60_000 for one in feedback if one["type"] == "feedback")


@settings(max_examples=100)
@given(st.lists(_timed, min_size=5, max_size=LENGTH))
def test_an_outcome_is_of_an_item_that_was_shown_and_that_the_user_went_for(log: list[Any]) -> None:
    records = numbered(log)
    slates, feedback, _ = asyncio.run(joined(records, set(), set(), 1 + LENGTH // CLOSED_BY_TICK))
    shown = {slate["slate_id"]: [one["item_id"] for one in slate["items"]] for slate in slates}
    events = [json.loads(record.value or b"") for record in records]
    went_for = {(event["user_id"], event["item_id"]) for event in events if "item_id" in event}
    for one in feedback:
        items = one.get("items", [])
        assert [position["item_id"] for position in items] == shown.get(one.get("slate_id"), [])
        for position in items:
            if "outcome" in position:
                assert (one["user_id"], position["item_id"]) in went_for
                assert position.get("seen", True)
                assert position["outcome_ms"] >= one["at_ms"]
