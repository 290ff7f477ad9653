"""The task that applies: a wait that was abandoned doesn't outlast the server's return."""

import asyncio
from typing import Any

import pytest

from streams.agents.flow import Flow, Inbox
from streams.agents.process import Abandoned, Processor
from streams.errors import Unreachable
from streams.metrics import Metrics
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
