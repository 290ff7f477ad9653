"""Where the online model lies in Redis: snapshots by version, the pointer to the latest, and what is saved beside it.

`model:{ranker}:online` holds the version and who wrote it, `…:online:<version>` the snapshots, of which KEPT stay, and
`…:online:saved` what the learner goes on from. All change in one step, so a learner that is killed anywhere left all of
a version or nothing of it; of two learners at once, one is told that it isn't alone.
"""

from streams.errors import StreamrankError
from streams.online.snapshot import Snapshot, decode
from streams.store.connection import RedisConnection, Script

KEPT = 3
"""Snapshots that stay: a worker that just read the pointer still finds the one it names."""


class NotAlone(StreamrankError):
    """Another learner of this model published meanwhile: run one a model."""


class Versions:
    """The versions of one model's online model, as all processes see them. Any method may raise `Unreachable`."""

    def __init__(self, redis: RedisConnection, prefix: str, model: str) -> None:
        self._redis = redis
        self._script = Script("snapshot.lua")
        self._model = model
        self._key = f"{prefix}model:{{{model}}}:online"

    async def latest(self) -> int | None:
        """Return the version that workers follow, None if there is none."""
        (version,) = await self._redis.ask([("HGET", self._key, "version")])
        return None if version is None else int(version)

    async def snapshot(self, version: int) -> Snapshot | None:
        """Return a snapshot, None if it is gone.

        Raises:
            StoreMismatch: it is of another contract.
        """
        (raw,) = await self._redis.ask([("GET", f"{self._key}:{version}")])
        return None if raw is None else decode(Snapshot, raw)

    async def saved(self) -> bytes | None:
        """Return what the learner goes on from."""
        (raw,) = await self._redis.ask([("GET", self._key + ":saved")])
        return None if raw is None else bytes(raw)

    async def publish(self, version: int, writer: str, snapshot: bytes, saved: bytes) -> None:
        """Make a version the latest, if the one before it is; `writer` is who it is that may repeat this.

        Raises:
            NotAlone: another one is.
        """
        keys = (self._key, f"{self._key}:{version}", self._key + ":saved", f"{self._key}:{version - KEPT}")
        (published,) = await self._redis.call(self._script, [(keys, (version - 1, version, writer, snapshot, saved))])
        if not published:
            raise NotAlone(
                f"another learner of {self._model} published before version {version} did: run one learner a model"
            )
