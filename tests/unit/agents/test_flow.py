"""The inbox: order, staleness, and its bound."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.consumer import CHUNK_BYTES, cut
from streams.agents.flow import Flow, Inbox


def event(flow_number: int, records: int = 1, size_bytes: int = 1) -> Any:
    chunk = SimpleNamespace(flow_number=flow_number, records=[0] * records, size_bytes=size_bytes)
    return SimpleNamespace(message=chunk)


def test_taking_keeps_order_and_the_limit() -> None:
    async def scenario() -> None:
        inbox = Inbox(asyncio.Event())
        events = [event(1, 5) for _ in range(3)]
        for one in events:
            await inbox.put(one)
        assert inbox.take(1, 10) == events[:2]
        assert inbox.take(1, 1) == events[2:]
        assert inbox.take(1, 1) == []

    asyncio.run(scenario())


def test_chunks_of_an_earlier_flow_are_dropped() -> None:
    async def scenario() -> None:
        inbox = Inbox(asyncio.Event())
        stale, fresh = event(1), event(2)
        await inbox.put(stale)
        await inbox.put(fresh)
        assert inbox.take(2, 100) == [fresh]

    asyncio.run(scenario())


def test_a_full_inbox_makes_the_reader_wait_but_takes_one_that_is_too_large() -> None:
    async def scenario() -> None:
        inbox = Inbox(asyncio.Event(), max_bytes=10)
        await inbox.put(event(1, size_bytes=100))
        waiting = asyncio.create_task(inbox.put(event(1, size_bytes=1)))
        await asyncio.sleep(0)
        assert not waiting.done()
        inbox.take(1, 1)
        await waiting
        assert len(inbox.take(1, 1)) == 1

    asyncio.run(scenario())


def test_a_move_makes_what_was_read_stale_and_asks_for_positions() -> None:
    flow = Flow()
    flow.place()
    flow.move()
    assert (flow.number, flow.moved, flow.placed.is_set()) == (1, True, False)
    flow.hold()
    assert (flow.number, flow.moved) == (2, False)


def test_a_move_is_asked_for_again_but_not_between_assignments() -> None:
    flow = Flow()
    flow.hold()
    flow.move_again()
    assert (flow.number, flow.moved) == (1, False)
    flow.move()
    flow.move_again()
    assert (flow.number, flow.moved) == (3, True)
    flow.place()
    flow.move_again()
    assert (flow.number, flow.moved, flow.placed.is_set()) == (4, True, False)


@pytest.mark.parametrize(
    ("sizes", "max_records", "lengths"),
    [([1] * 7, 3, [3, 3, 1]), ([CHUNK_BYTES, 1, 1], 10, [1, 2]), ([], 3, []), ([-1, 0], 2, [2])],
)
def test_cutting_is_bounded_and_loses_none(sizes: list[int], max_records: int, lengths: list[int]) -> None:
    records = [SimpleNamespace(serialized_key_size=0, serialized_value_size=size) for size in sizes]
    parts = [part for part, _ in cut(records, max_records)]
    assert [len(part) for part in parts] == lengths
    assert [record for part in parts for record in part] == records
