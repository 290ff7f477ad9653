"""The pointer of a model in Redis, its history, and the heartbeats of the workers that follow it.

All keys share a hash tag: `model:{ranker}` holds revision and lineup, `…:history` the events of its last changes,
`…:announced` the revision up to which they are on the topic `models`, `…:trial` what feedback says of the canary,
`…:trainer` the trainer's lease (`lease.py`), `…:workers` the ids of workers, and `…:worker:<id>` the revision that a
worker serves by; that key ends soon after the worker did.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from streams.contracts.models import ModelEvent, decode, encode
from streams.errors import StreamrankError
from streams.rollout.lease import LEASE, lease_lost
from streams.rollout.lineup import Lineup
from streams.store.connection import RedisConnection, Script

HISTORY_KEPT = 10_000
"""Events of a model that are kept. A year of ten changes a day is below it."""
HEARTBEAT_TTL_S = 5
"""A worker that is not heard of for so long doesn't count: nothing waits for it."""

_lineup = msgspec.json.Decoder(Lineup).decode
_beat = msgspec.json.Encoder().encode


class PointerMoved(StreamrankError):
    """Somebody else changed the lineup since it was read: look at it again, then decide again."""


class Heartbeat(Struct, frozen=True):
    """What a worker serves by: the revision of the lineup, and the champion of it."""

    revision: int
    champion: int


_heartbeat = msgspec.json.Decoder(Heartbeat).decode


class Pointer:
    """The lineup of one model, as all processes of a deployment see it. Any method may raise `Unreachable`."""

    def __init__(self, redis: RedisConnection, prefix: str, model: str, lease: int | None = None) -> None:
        """With the number of a trainer's `lease` nothing moves once that has ended."""
        self._redis = redis
        self._lease = lease
        self._script = Script("point.lua")
        self._model = model
        self._key = f"{prefix}model:{{{model}}}"

    async def read(self) -> Lineup | None:
        """Return the lineup, None before the first change."""
        (raw,) = await self._redis.ask([("HGET", self._key, "lineup")])
        return None if raw is None else _lineup(raw)

    async def move(self, believed: Lineup, lineup: Lineup, events: Sequence[ModelEvent]) -> None:
        """Replace `believed` by `lineup`, and keep the events, all or nothing.

        Raises:
            PointerMoved: another lineup is there.
            LeaseLost: the lease that was named has ended.
        """
        keys = (self._key, self._key + ":history", self._key + LEASE)
        document = msgspec.json.encode(lineup)
        lease = "" if self._lease is None else self._lease
        arguments = (believed.revision, lineup.revision, document, HISTORY_KEPT, lease, *map(encode, events))
        (moved,) = await self._redis.call(self._script, [(keys, arguments)])
        if moved < 0:
            raise lease_lost(self._model)
        if not moved:
            raise PointerMoved(
                f"the lineup of {self._model} changed since revision {believed.revision}: see `streamrank models list`,"
                " and decide again"
            )

    async def history(self) -> list[ModelEvent]:
        """Return the events of the last changes, the oldest first."""
        (raw,) = await self._redis.ask([("LRANGE", self._key + ":history", 0, -1)])
        return [decode(event) for event in raw]

    async def unannounced(self) -> list[ModelEvent]:
        """Return the events that may not be on the topic yet."""
        (raw,) = await self._redis.ask([("GET", self._key + ":announced")])
        announced = int(raw or 0)
        return [event for event in await self.history() if event.revision > announced]

    async def announced(self, revision: int) -> None:
        """Note that all events up to that revision are on the topic."""
        await self._redis.ask([("SET", self._key + ":announced", revision)])

    async def follow(self, worker: str, serving: Heartbeat) -> Lineup | None:
        """Say what a worker serves by, and return the lineup; one round trip."""
        key = f"{self._key}:worker:{worker}"
        answers = await self._redis.ask(
            [
                ("SET", key, _beat(serving), "EX", HEARTBEAT_TTL_S),
                ("SADD", self._key + ":workers", worker),
                ("HGET", self._key, "lineup"),
            ]
        )
        return None if answers[2] is None else _lineup(answers[2])

    async def leave(self, worker: str) -> None:
        """Say that a worker serves no more."""
        await self._redis.ask(
            [("DEL", f"{self._key}:worker:{worker}"), ("SREM", self._key + ":workers", worker)],
        )

    async def add_shadowed(self, version: int, sums: Mapping[str, float]) -> None:
        """Add to the sums of what a shadow was seen to do."""
        key = f"{self._key}:shadow:{version}"
        await self._redis.ask([("HINCRBYFLOAT", key, name, value) for name, value in sums.items()])

    async def shadowed(self, version: int) -> dict[str, float]:
        """Return the sums of what a shadow was seen to do."""
        (found,) = await self._redis.ask([("HGETALL", f"{self._key}:shadow:{version}")])
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        return {name.decode(): float(value) for name, value in pairs}

    async def keep_trial(self, packed: bytes) -> None:
        """Keep what feedback said of the canary so far."""
        await self._redis.ask([("SET", self._key + ":trial", packed)])

    async def trial(self) -> bytes | None:
        """Return what was last kept of a canary's trial."""
        (packed,) = await self._redis.ask([("GET", self._key + ":trial")])
        return packed  # type: ignore[no-any-return]

    async def heartbeats(self) -> Mapping[str, Heartbeat]:
        """Return what each worker that lives serves by."""
        (found,) = await self._redis.ask([("SMEMBERS", self._key + ":workers")])
        workers = sorted(name.decode() for name in found)
        if not workers:
            return {}
        beats = await self._redis.ask([("GET", f"{self._key}:worker:{worker}") for worker in workers])
        gone = [worker for worker, beat in zip(workers, beats, strict=True) if beat is None]
        if gone:
            await self._redis.ask([("SREM", self._key + ":workers", *gone)])
        return {w: _heartbeat(beat) for w, beat in zip(workers, beats, strict=True) if beat is not None}
