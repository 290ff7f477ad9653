"""What a reset connection looks like on uvloop is a lost connection to aiokafka."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from streams.agents.connections import lose_reset_connections

RESET = "unable to perform operation on <TCPTransport closed=True reading=False 0x7f>; the handler is closed"


def client(outcome: Any) -> Any:
    async def send(node_id: int, request: str, *, group: int = 0) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome, node_id, request, group

    made = SimpleNamespace(send=send)
    lose_reset_connections(made)
    return made


def test_a_reset_connection_is_lost() -> None:
    with pytest.raises(KafkaConnectionError, match="the handler is closed"):
        asyncio.run(client(RuntimeError(RESET)).send(1, "fetch"))


@pytest.mark.parametrize("other", [RuntimeError("a bug"), OSError("gone")])
def test_whatever_else_goes_wrong_stays_what_it_is(other: Exception) -> None:
    with pytest.raises(type(other), match=str(other)):
        asyncio.run(client(other).send(1, "fetch"))


def test_an_answer_is_an_answer() -> None:
    assert asyncio.run(client("yes").send(1, "fetch", group=2)) == ("yes", 1, "fetch", 2)
