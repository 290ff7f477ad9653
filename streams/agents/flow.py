"""Where reading stands: which chunks count, and how many bytes of them wait.

Every assignment and every seek begins a new flow; chunks of an earlier one are stale and are dropped unapplied, to be
read again. While a flow is not placed (its positions aren't known yet) nothing is fetched.
"""

import asyncio
from collections import deque
from typing import Any

MAX_WAITING_BYTES = 32 * 1024 * 1024
"""Bytes of records that may wait in one inbox; above it Kafka is not read on, so a backlog can't fill the memory."""


class Flow:
    """The number of the current flow, and whether its positions are asked for (`moved`) or known (`placed`)."""

    def __init__(self) -> None:
        self.number = 0
        self.moved = False
        self.placed = asyncio.Event()
        self.wake = asyncio.Event()
        """Set when anything a task may wait for has happened: a move, a chunk, a stop."""

    def hold(self) -> None:
        """Stop reading: partitions were taken away and new ones are not known yet."""
        self.number += 1
        self.moved = False
        self.placed.clear()
        self.wake.set()

    def move(self) -> None:
        """Ask for positions: partitions were assigned, or what was read doesn't follow what was applied."""
        self.hold()
        self.moved = True

    def move_again(self) -> None:
        """Ask for positions once more, unless partitions were taken away and new ones are not known yet."""
        if self.moved or self.placed.is_set():
            self.move()

    def place(self) -> None:
        """Read on: the positions of this flow have been sought."""
        self.moved = False
        self.placed.set()


class Inbox:
    """Chunks that wait to be applied, bounded in bytes, oldest first."""

    def __init__(self, wake: asyncio.Event, max_bytes: int = MAX_WAITING_BYTES) -> None:
        self._events: deque[Any] = deque()
        self._max_bytes = max_bytes
        self._bytes = 0
        self.wake = wake
        self._room = asyncio.Event()

    async def put(self, event: Any) -> None:
        """Add an event whose message is a `Chunk`; waits while the inbox is full."""
        while self._events and self._bytes + event.message.size_bytes > self._max_bytes:
            self._room.clear()
            await self._room.wait()
        self._events.append(event)
        self._bytes += event.message.size_bytes
        self.wake.set()

    def take(self, flow_number: int, max_records: int) -> list[Any]:
        """Return the oldest events of the flow, up to `max_records` records (one event at least); drop stale ones."""
        taken: list[Any] = []
        records = 0
        while self._events:
            chunk = self._events[0].message
            if chunk.flow_number == flow_number:
                records += len(chunk.records)
                if taken and records > max_records:
                    break
                taken.append(self._events[0])
            self._events.popleft()
            self._bytes -= chunk.size_bytes
        self._room.set()
        return taken
