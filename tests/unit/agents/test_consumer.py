"""What a fetch brings counts only for the flow in which it began."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.consumer import ChunkConsumer
from streams.agents.flow import Flow


class Drained(ChunkConsumer):
    """A consumer with one fetch, during which `meanwhile` happens."""

    should_stop = False
    flow_active = True

    def __init__(self, meanwhile: Any) -> None:
        self.app = SimpleNamespace(flow=Flow())
        self.delivered: list[Any] = []
        self._meanwhile = meanwhile
        self.flow.place()

    async def _wait_next_records(self, timeout: float) -> Any:
        self._meanwhile(self.flow)
        return {"events-0": ["a record"]}, None

    async def _deliver(self, records: Any, flow_number: int) -> None:
        self.delivered.append(records)


def moved_and_placed(flow: Flow) -> None:
    flow.move()
    flow.place()


@pytest.mark.parametrize(
    ("meanwhile", "delivered", "sought_again"),
    [
        (lambda flow: None, 1, False),
        (Flow.hold, 0, False),
        (Flow.move, 0, True),
        (moved_and_placed, 0, True),
    ],
    ids=["nothing", "revoked", "being placed", "placed anew"],
)
def test_records_that_a_seek_may_have_led_to_are_sought_again(
    meanwhile: Any, delivered: int, sought_again: bool
) -> None:
    consumer = Drained(meanwhile)
    asyncio.run(consumer._drain_once())  # noqa: SLF001
    number = consumer.flow.number
    assert len(consumer.delivered) == delivered
    assert consumer.flow.moved == sought_again
    assert number == {Flow.hold: 1, Flow.move: 2, moved_and_placed: 2}.get(meanwhile, 0)
