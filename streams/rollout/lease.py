"""One trainer a model: a lease in Redis, which ends by itself when its holder does, and what the last holder did.

Its number only grows, and what a trainer changes names it (`pointer.py`): one that slept beyond its lease changes
nothing any more. Beside it lies what the next run begins from, so that it may be on another machine.
"""

from typing import Final

import msgspec
from msgspec import Struct

from streams.errors import StreamrankError
from streams.store.connection import RedisConnection, Script

LEASE: Final = ":trainer"
"""Behind the key of the model's pointer."""


class LeaseLost(StreamrankError):
    """Another trainer has the lease, or Redis was away for longer than it lasts: this one changes nothing any more."""


class Done(Struct, frozen=True, kw_only=True):
    """What the last run of a trainer ended at: its time, and the offsets of feedback and of `models` it knew of.

    Offsets are by `topic/topic id/partition`.
    """

    run_ms: int
    labelled: dict[str, int] = {}
    heard: dict[str, int] = {}


_done = msgspec.json.Decoder(Done).decode


class Lease:
    """The lease of one model, as one process sees it. Any method may raise `Unreachable`."""

    def __init__(self, redis: RedisConnection, prefix: str, model: str, lasts_ms: int) -> None:
        self.number: int | None = None
        """Of this process's lease, None before `take` and after `release`."""
        self._redis = redis
        self._script = Script("lease.lua")
        self._model = model
        self._key = f"{prefix}model:{{{model}}}{LEASE}"
        self._lasts_ms = lasts_ms

    async def take(self) -> bool:
        """Take the lease; False if another process has it."""
        number = await self._call("take", self._lasts_ms)
        self.number = number or None
        return number > 0

    async def renew(self) -> None:
        """Let it last from now.

        Raises:
            LeaseLost: it has ended.
        """
        if not await self._call("renew", self.number or 0, self._lasts_ms):
            raise lease_lost(self._model)

    async def release(self) -> None:
        """Let another process take it at once."""
        if self.number is not None:
            await self._call("release", self.number)
            self.number = None

    async def done(self) -> Done | None:
        """Return what the last run ended at, None before the first."""
        (raw,) = await self._redis.ask([("GET", self._key + ":done")])
        return None if raw is None else _done(raw)

    async def put_done(self, done: Done) -> None:
        """Note what a run ended at."""
        await self._redis.ask([("SET", self._key + ":done", msgspec.json.encode(done))])

    async def _call(self, *arguments: object) -> int:
        (number,) = await self._redis.call(self._script, [((self._key, self._key + ":number"), arguments)])
        return int(number)


def lease_lost(model: str) -> LeaseLost:
    """Return the error of a trainer whose lease has ended."""
    return LeaseLost(f"the trainer's lease of {model} has ended: another trainer has it, or Redis was away too long")
