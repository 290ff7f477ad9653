"""The task that applies: nothing commits before what the last commit left is published, nothing is acked before."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from streams.agents.flow import Flow, Inbox
from streams.agents.process import Abandoned, Processor
from streams.errors import Unreachable
from streams.metrics import Metrics
from streams.pipeline import Outcome
from streams.store.base import Message
from tests.unit.building import settings


class NoPlacer:
    """Nothing is placed here."""

    async def start_of(self, partition: int) -> int:
        raise AssertionError

    def end_of(self, partition: int) -> int:
        raise AssertionError


def test_a_worker_is_ready_again_though_partitions_moved_while_it_waited() -> None:
    metrics = Metrics()

    async def scenario() -> None:
        flow = Flow()
        nothing: Any = None
        placer: Any = NoPlacer()
        inbox = Inbox(flow.wake)
        processor = Processor(flow, inbox, placer, nothing, nothing, settings(), metrics)
        attempts = 0

        async def away() -> None:
            nonlocal attempts
            attempts += 1
            if attempts == 2:
                flow.move()
            raise Unreachable("Redis is away")

        async def back() -> str:
            return "done"

        with pytest.raises(Abandoned):
            await processor._insist(away, flow.number)  # noqa: SLF001
        assert metrics.is_waiting
        assert await processor._insist(back, flow.number) == "done"  # noqa: SLF001

    asyncio.run(scenario())
    assert not metrics.is_waiting


@dataclass
class _Records:
    """One record as Kafka's client hands it over."""

    offset: int
    key: bytes = b"u"
    value: bytes = b"{}"
    timestamp: int = 0


@dataclass
class _Event:
    """A chunk of one record, as the agent puts it into the inbox."""

    journal: list[str]
    offset: int
    size_bytes: int = 1
    partition: int = 0
    flow_number: int = 1
    message: Any = field(init=False)
    records: list[_Records] = field(init=False)

    def __post_init__(self) -> None:
        self.message, self.records = self, [_Records(self.offset)]

    def ack(self) -> None:
        self.journal.append(f"ack {self.offset}")


class _Bench:
    """A processor whose pipeline and publisher write down what they do; publishing waits for `let_through`."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.let_through = asyncio.Event()
        self.flow = Flow()
        self.inbox = Inbox(self.flow.wake)
        placer: Any = self
        pipeline: Any = self
        publisher: Any = self
        self.processor = Processor(self.flow, self.inbox, placer, pipeline, publisher, settings(), Metrics())
        self.processor.expected.place({0: 0})
        self.flow.hold()
        self.flow.place()

    async def run(self, batch: Mapping[int, Sequence[Any]], lost: Any, before_commit: Any) -> Outcome:
        offset = batch[0][0].offset
        self.journal.append(f"fold {offset}")
        await before_commit()
        self.journal.append(f"commit {offset}")
        return Outcome({0: [Message("recommendations", None, b"%d" % offset)]}, {}, {}, {})

    async def publish(self, messages: Sequence[Message]) -> None:
        await self.let_through.wait()
        self.journal.append(f"publish {messages[0].value.decode()}")

    async def start_of(self, partition: int) -> int:
        raise AssertionError

    def end_of(self, partition: int) -> int:
        raise AssertionError

    async def until(self, *words: str) -> None:
        """Wait until the last words of the journal are these."""
        async with asyncio.timeout(5):
            while self.journal[-len(words) :] != list(words):
                await asyncio.sleep(0)


def test_the_next_batch_is_folded_while_the_last_is_published_and_commits_after_it() -> None:
    async def scenario() -> list[str]:
        bench = _Bench()
        for offset in (0, 1):
            await bench.inbox.put(_Event(bench.journal, offset))
        bench.processor._max_records = 1  # noqa: SLF001  one chunk a batch
        working = asyncio.create_task(bench.processor.run())
        await bench.until("fold 0", "commit 0", "fold 1")
        bench.let_through.set()
        await bench.until("publish 1", "ack 1")
        bench.processor.stop()
        await working
        return bench.journal

    assert asyncio.run(scenario()) == [
        "fold 0", "commit 0", "fold 1", "publish 0", "ack 0", "commit 1", "publish 1", "ack 1",
    ]  # fmt: skip


def test_what_was_being_published_when_partitions_moved_is_not_acked_and_stops_nobody() -> None:
    async def scenario() -> list[str]:
        bench = _Bench()
        await bench.inbox.put(_Event(bench.journal, 0))
        working = asyncio.create_task(bench.processor.run())
        await bench.until("commit 0")
        bench.flow.hold()
        await bench.processor._give_up_publishing()  # noqa: SLF001  what placing begins with
        bench.let_through.set()
        bench.processor.stop()
        await working
        return bench.journal

    assert asyncio.run(scenario()) == ["fold 0", "commit 0"]


def test_an_unexpected_error_while_publishing_ends_the_task() -> None:
    async def scenario() -> None:
        bench = _Bench()

        async def broken(messages: Sequence[Message]) -> None:
            raise ZeroDivisionError

        bench.publish = broken  # type: ignore[method-assign]
        await bench.inbox.put(_Event(bench.journal, 0))
        async with asyncio.timeout(5):
            await bench.processor.run()

    with pytest.raises(ZeroDivisionError):
        asyncio.run(scenario())
