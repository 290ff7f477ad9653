"""A TCP proxy between one worker and one server, that fails as networks do: by will, and at once.

Closed: nobody listens, what was connected is reset. Silent: connections stay open and nothing passes, as after a
cable was cut. Slow: every piece waits. Held: a piece that contains a marker waits until it is released, even if the
one who sent it is dead by then. All proxies share one thread with an event loop.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from streams.embedded.server import LOOPBACK, free_port

PIECE_BYTES = 65_536
CALL_S = 10.0
_RESET = struct.pack("ii", 1, 0)

T = TypeVar("T")
Rewrite = Callable[[bytes], bytes]


class Loop:
    """The thread of all proxies; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it in the loop, from any other thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_S)


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Proxy:
    """Forwards a port of its own to a server's. Methods are for other threads than the loop's."""

    def __init__(self, loop: Loop, server_port: int, *, is_broker: bool = False) -> None:
        """`is_broker`: the server tells clients where it is, so its answers must name the proxy instead."""
        self.port = free_port()
        self._loop = loop
        self._server_port = server_port
        self._answers: Rewrite = self._rewrite if is_broker else bytes
        self._listener: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[Any], list[asyncio.StreamWriter]] = {}
        self._delay_s = 0.0
        self._marker = b""
        self._held = 0
        self._passing = asyncio.Event()
        self._released = asyncio.Event()
        self._passing.set()
        self._released.set()
        self.open()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{LOOPBACK}:{self.port}"

    def open(self) -> None:
        """Take connections."""
        self._loop.run(self._open())

    def close(self) -> None:
        """Refuse connections, and reset those that are open."""
        self._loop.run(self._close())

    def reset(self) -> None:
        """Reset what is connected; new connections are taken."""
        self._loop.run(self._reset())

    def hush(self) -> None:
        """Let nothing pass in either direction, until `speak`; connections stay, and new ones are taken."""
        self._passing.clear()

    def speak(self) -> None:
        """End `hush`: what was connected meanwhile is reset, as its other side is long gone."""
        self._loop.run(self._speak())

    def slow(self, delay_s: float) -> None:
        """Let every piece wait so long; 0 ends it."""
        self._delay_s = delay_s

    def garble(self) -> None:
        """Change every answer of the server, until `clear`."""
        self._answers = _garbled

    def clear(self) -> None:
        """End `garble`: what is connected is reset, as it makes no sense any more."""
        self._answers = bytes
        self.reset()

    def hold(self, marker: bytes) -> None:
        """Keep what contains the marker on its way to the server, until `release` or `drop`."""
        self._marker = marker
        self._released.clear()

    @property
    def held(self) -> int:
        """How many pieces are kept."""
        return self._held

    def release(self) -> None:
        """Deliver what was held, though the one who sent it may be dead."""
        self._loop.run(self._release())

    def drop(self) -> None:
        """Lose what was held, with its connection."""
        self.reset()
        self.release()

    async def _open(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._connected, LOOPBACK, self.port)

    async def _close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        await self._reset()

    async def _reset(self) -> None:
        tasks = list(self._connections)
        for task in tasks:
            for writer in self._connections[task]:
                _reset(writer)
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _speak(self) -> None:
        await self._reset()
        self._passing.set()

    async def _release(self) -> None:
        self._marker, self._held = b"", 0
        self._released.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        writers = self._connections[task] = [writer]
        try:
            await self._passing.wait()
            from_server, to_server = await asyncio.open_connection(LOOPBACK, self._server_port)
            writers.append(to_server)
            await asyncio.gather(
                self._pump(reader, to_server, self._hold), self._pump(from_server, writer, self._answer)
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            del self._connections[task]
            for each in writers:
                each.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        treat: Callable[[bytes], Coroutine[Any, Any, bytes]],
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(PIECE_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._passing.wait()
                writer.write(await treat(piece))
                await writer.drain()
            writer.write_eof()

    async def _hold(self, piece: bytes) -> bytes:
        if self._marker and self._marker in piece:
            self._held += 1
            await self._released.wait()
        return piece

    async def _answer(self, piece: bytes) -> bytes:
        return self._answers(piece)

    def _rewrite(self, piece: bytes) -> bytes:
        """Name the proxy where a Kafka broker names itself: its host as a string is followed by its port."""
        host = LOOPBACK.encode()
        ports = (struct.pack(">i", port) for port in (self._server_port, self.port))
        return piece.replace(*(host + port for port in ports))


def _garbled(piece: bytes) -> bytes:
    return bytes(byte ^ 0x55 for byte in piece)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
