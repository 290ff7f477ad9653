"""Chunks through Faust: in order, complete, over all partitions, with a pipeline that only counts."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from streams.contracts.topics import EVENTS, ITEMS
from streams.decode import Record
from streams.kafka_admin import topic_ids
from streams.pipeline import Outcome
from streams.store.base import Message, Position
from streams.store.memory import MemoryStore
from streams.worker import Worker
from tests.integration.conftest import RunningStack
from tests.integration.processes import clicks, own_settings, publish


class Counting:
    """Stands in for the pipeline: believes what it is given, and notes offsets."""

    def __init__(self, expected: int) -> None:
        self.seen: dict[int, list[int]] = {}
        self.largest = 0
        self.complete = asyncio.Event()
        self._expected = expected
        self._owned: set[int] = set()

    @property
    def watermarks(self) -> dict[int, int]:
        return dict.fromkeys(self._owned, 0)

    async def assign(self, partitions: Iterable[int]) -> dict[int, Position]:
        self._owned = set(partitions)
        return {p: Position(offset=len(self.seen.get(p, [])) - 1) for p in self._owned}

    def revoke(self, partitions: Iterable[int]) -> None:
        self._owned -= set(partitions)

    async def outbox(self, partition: int) -> list[Message]:
        return []

    async def refresh(self) -> None:
        pass

    async def run(
        self,
        batch: Mapping[int, Sequence[Record]],
        lost: Mapping[int, int],
        before_commit: Callable[[], Awaitable[None]],
    ) -> Outcome:
        assert not lost
        await before_commit()
        for partition, records in batch.items():
            assert {record.partition for record in records} == {partition}
            self.seen.setdefault(partition, []).extend(record.offset for record in records)
        self.largest = max(self.largest, sum(map(len, batch.values())))
        if sum(map(len, self.seen.values())) >= self._expected:
            self.complete.set()
        return Outcome(dict.fromkeys(batch, ()), {}, {})


@pytest.mark.parametrize("batch_events", [7, 2_000])
def test_chunks_come_in_order_and_complete(stack: RunningStack, tmp_path: Path, batch_events: int) -> None:
    settings = own_settings(stack, batch_events=batch_events)
    publish(settings, EVENTS, clicks(3_000))

    async def work() -> Counting:
        pipeline = Counting(6_000)
        ids = topic_ids(settings, [settings.topic(EVENTS), settings.topic(ITEMS)])
        stop = asyncio.Event()
        one = Worker(settings, MemoryStore(), pipeline, ids, tmp_path)  # type: ignore[arg-type]
        working = asyncio.create_task(one.work(stop))
        await asyncio.to_thread(publish, settings, EVENTS, clicks(3_000, start=3_000))
        async with asyncio.timeout(40):
            await pipeline.complete.wait()
        stop.set()
        await working
        assert sum(one.lags().values()) == 0
        return pipeline

    pipeline = asyncio.run(work())
    assert sorted(pipeline.seen) == [0, 1]
    assert sum(map(len, pipeline.seen.values())) == 6_000
    for offsets in pipeline.seen.values():
        assert offsets == list(range(len(offsets)))
    assert pipeline.largest <= batch_events
