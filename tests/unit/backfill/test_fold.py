"""A share of a log in memory: refused lines come back by number, nothing is published, a second writer is noticed."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from streams.backfill.fold import Fenced, PartitionFold
from streams.backfill.lines import Router
from streams.decode import Decoder
from streams.settings import Settings
from streams.store.base import Commit, Position
from streams.store.memory import MemoryStore
from tests.logs import START_MS

SETTINGS = Settings(partitions=1)


def line(kind: str, **more: object) -> bytes:
    return msgspec.json.encode({"type": kind, "user_id": "u", "at_ms": START_MS} | more)


def fold(store: MemoryStore, lines: list[bytes]) -> tuple[PartitionFold, list[tuple[int, str]]]:
    one = PartitionFold(store, Decoder(1, 0), SETTINGS, ("events", "id"), {0: Position()}, 10)
    router = Router(Path("log"), 1)
    for number, value in enumerate(lines, 1):
        routed = router.route(number, value)
        assert routed
        one.add(number, routed[1])
    return one, asyncio.run(one.commit())


def test_refused_lines_come_back_and_the_outbox_stays_empty() -> None:
    store = MemoryStore()
    lines = [line("view", item_id="i"), line("view"), line("request", request_id="r"), line("forget"), line("nope")]
    one, rejects = fold(store, lines)
    assert rejects == [(2, "$: Object missing required field `item_id`"), (5, "$.type: Invalid value 'nope'")]
    assert asyncio.run(store.outbox(0)) == []
    assert asyncio.run(store.stats([0])) == {"applied": 3, "dead_letters": 2}
    assert one.waiting == 0


def test_a_second_writer_is_noticed() -> None:
    store = MemoryStore()
    asyncio.run(store.commit([Commit(0, Position(), Position(offset=0, applied=1), "another")]))
    with pytest.raises(Fenced, match="partition 0 of key prefix '' was written by another process: stop that"):
        fold(store, [line("view", item_id="i")])
