"""What a reset connection looks like on uvloop is a lost connection to aiokafka, whoever writes to it."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from streams.agents.connections import lose_reset_connections


def sent(spoil: Callable[[Any], Awaitable[None]]) -> list[object]:
    """Spoil what a connection writes to, send a request, and return why the connection was closed."""

    async def scenario() -> list[object]:
        ours, theirs = socket.socketpair()
        closed: list[object] = []
        connection: Any = AIOKafkaConnection("here", 1, on_close=lambda _, reason: closed.append(reason))
        connection._reader, connection._writer = await asyncio.open_unix_connection(sock=ours)  # noqa: SLF001
        connection._read_task = asyncio.create_task(asyncio.sleep(0))  # noqa: SLF001
        connection._closed_fut = None  # noqa: SLF001
        await spoil(connection._writer)  # noqa: SLF001
        with theirs, pytest.raises(KafkaConnectionError, match="connection reset"):
            await connection.send(ApiVersionRequest())
        assert not connection.connected()
        return closed

    lose_reset_connections()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scenario())


def test_a_reset_connection_is_lost_and_closed() -> None:
    async def reset(writer: Any) -> None:
        writer.transport.abort()
        await writer.wait_closed()

    assert len(sent(reset)) == 1


@pytest.mark.parametrize("other", [RuntimeError("a bug"), ValueError("nonsense")])
def test_whatever_else_goes_wrong_stays_what_it_is(other: Exception) -> None:
    def write(_: bytes) -> None:
        raise other

    async def spoil(writer: Any) -> None:
        writer.write = write

    with pytest.raises(type(other), match=str(other)):
        sent(spoil)
