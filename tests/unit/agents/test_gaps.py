"""Which records follow, and what a gap means."""

import asyncio
from dataclasses import dataclass

import pytest

from streams.agents.gaps import Expected, SeekAgain
from streams.errors import StoreMismatch


@dataclass(frozen=True)
class At:
    offset: int


def records(*offsets: int) -> list[At]:
    return [At(offset) for offset in offsets]


def expected(start: int, end: int = 1_000) -> Expected:
    async def start_of(partition: int) -> int:
        return start

    made = Expected(start_of, lambda partition: end)
    made.place({0: 10})
    return made


def follow(one: Expected, *offsets: int) -> list[int]:
    return [r.offset for r in asyncio.run(_follow(one, *offsets))]


async def _follow(one: Expected, *offsets: int) -> list[At]:
    return list(await one.follow(0, records(*offsets)))


def test_what_follows_is_taken_and_expected_after() -> None:
    one = expected(start=0)
    assert follow(one, 10, 11) == [10, 11]
    assert one.offsets == {0: 12}


def test_what_is_applied_is_dropped() -> None:
    one = expected(start=0)
    assert follow(one, 8, 9, 10) == [10]
    assert follow(one, 9, 10) == []
    assert one.offsets == {0: 11}


def test_a_gap_is_sought_once_and_then_counted_as_lost() -> None:
    one = expected(start=14)
    with pytest.raises(SeekAgain):
        follow(one, 14, 15)
    one.place({0: 10})
    assert follow(one, 14, 15) == [14, 15]
    assert one.lost == {0: 4}
    one.place({0: 16})
    assert one.lost == {}


def test_a_hole_that_the_broker_made_is_not_lost() -> None:
    one = expected(start=0)
    with pytest.raises(SeekAgain):
        follow(one, 12)
    one.place({0: 10})
    assert follow(one, 12) == [12]
    assert one.lost == {}


def test_a_log_that_ends_before_what_is_applied_is_another_log() -> None:
    with pytest.raises(StoreMismatch, match="up to offset 9, but its log ends before 3"):
        follow(expected(start=0, end=3), 0, 1, 2)
