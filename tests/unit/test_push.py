"""Slates that nobody asked for: when, to whom, and how often."""

import asyncio
from typing import Any

import pytest

from streams import push
from streams.contracts import topics
from streams.pipeline import Outcome, Pipeline
from streams.push import STALE_AFTER_MS
from streams.store.memory import MemoryStore
from tests.unit.building import T0, bodies, records, run_all, started, wire

PUSHING: dict[str, Any] = {"push_on": frozenset({"click"}), "push_every_ms": 5_000}


def pushed(*values: bytes, **changed: Any) -> list[Outcome]:
    """Run events of one partition in one batch."""

    async def scenario() -> list[Outcome]:
        return await run_all(await started(**(PUSHING | changed)), records(values))

    return asyncio.run(scenario())


def test_a_telling_event_pushes_and_no_other() -> None:
    outcomes = pushed(wire("view", item_id="i1"), wire("click", "u2", item_id="i1"))
    (slate,) = bodies(outcomes, topics.RECOMMENDATIONS)
    assert (slate["user_id"], slate["request_id"], slate["kind"]) == ("u2", None, "for_you")


def test_nothing_is_pushed_unless_switched_on() -> None:
    outcomes = pushed(wire("click", item_id="i1"), push_on=frozenset())
    assert bodies(outcomes, topics.RECOMMENDATIONS) == []


@pytest.mark.parametrize("batched", [True, False])
def test_at_most_one_a_user_in_that_time(batched: bool) -> None:
    times = [0, 4_999, 5_000, 9_999, 10_000, 10_001]
    clicks = records([wire("click", item_id="i1", at_ms=T0 + ms) for ms in times])

    async def scenario() -> list[Outcome]:
        pipeline = await started(**PUSHING)
        parts = [clicks] if batched else [[one] for one in clicks]
        return [outcome for part in parts for outcome in await run_all(pipeline, part)]

    slates = bodies(asyncio.run(scenario()), topics.RECOMMENDATIONS)
    assert [slate["slate_id"] for slate in slates] == ["0-0-0", "0-0-2", "0-0-4"]


def test_what_is_remembered_is_bounded_and_the_latest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "_LIMIT", 3)
    times = [("a", 0), ("b", 0), ("c", 0), ("d", 0), ("d", 1), ("a", 1)]
    clicks = records([wire("click", user, item_id="i1", at_ms=T0 + ms) for user, ms in times])

    async def scenario() -> list[Outcome]:
        pipeline = await started(**PUSHING)
        return [outcome for one in clicks for outcome in await run_all(pipeline, [one])]

    slates = bodies(asyncio.run(scenario()), topics.RECOMMENDATIONS)
    assert [slate["user_id"] for slate in slates] == ["a", "b", "c", "d", "a"]


def test_a_backlog_pushes_nothing_and_counts_what_it_sheds() -> None:
    clicks = records([wire("click", user, item_id="i1") for user in ("u1", "u2")])

    async def scenario(age_ms: int) -> list[Outcome]:
        pipeline = await started(**PUSHING)
        late = Pipeline(
            MemoryStore(), None, pipeline.settings, clock=lambda at_ms: at_ms + age_ms,
            topic_ids={"events": "e", "items": "i"},
        )  # fmt: skip
        await late.start()
        await late.assign([0])
        return await run_all(late, clicks)

    (live,) = asyncio.run(scenario(STALE_AFTER_MS))
    assert len(bodies([live], topics.RECOMMENDATIONS)) == 2
    assert "pushes_shed" not in live.stats
    (stale,) = asyncio.run(scenario(STALE_AFTER_MS + 1))
    assert bodies([stale], topics.RECOMMENDATIONS) == []
    assert stale.stats["pushes_shed"] == 2
