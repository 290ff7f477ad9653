"""The namespace that a backfill fills: empty when it begins, and marked until it is whole.

The mark, the field `backfill` of `meta`, names the log. While it is there only that log goes on, and no worker starts.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from streams.contracts.topics import EVENTS
from streams.errors import Misuse, StreamrankError
from streams.features.user import FOLD_VERSION
from streams.settings import Settings
from streams.store.base import ItemChange, Position
from streams.store.connection import RedisConnection, client_name, connect
from streams.store.redis import RedisStore

ROLE = "backfill"
"""What a process of a backfill is called among the clients of Redis."""
_MARK = "backfill"


class WriterAlive(StreamrankError):
    """A worker or another backfill writes to the namespace: stop it, then run this again."""


def own_topic_id(log: str) -> str:
    """Return the topic id of a log that belongs to no topic, by its identity."""
    return f"log {log}"


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a backfill starts from: what each partition holds already, in the epoch of `events`."""

    positions: Mapping[int, Position]


class Namespace:
    """One namespace in Redis; `opened` makes one."""

    def __init__(self, redis: RedisConnection, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._meta = settings.key_prefix + "meta"
        self._partitions = range(settings.partitions)
        self.store = RedisStore(redis, prefix=settings.key_prefix, state_ttl_s=settings.state_ttl_s)

    async def claim(self, log: str, topic_ids: Mapping[str, str]) -> Claimed:
        """Mark the namespace for the log of that identity, or go on with it.

        Epoch 0 is the log's own. If its offsets are those of a topic, that has the next one: a worker takes a partition
        that holds nothing in epoch 0, while Kafka says that it was applied, for state that was lost.

        Raises:
            WriterAlive: a worker or another backfill is connected.
            Misuse: it holds state, or the beginning of another log, or the `events` topic was made anew meanwhile.
            StoreMismatch: it belongs to another partition count or fold version.
        """
        await self._check_alone()
        (marked,) = await self._redis.ask([("HGET", self._meta, _MARK)])
        stored = await self.store.positions(self._partitions)
        held = {p: position for p, position in stored.items() if position is not None}
        if marked is not None and marked.decode() != log:
            raise Misuse(
                f"{self._name()} holds an unfinished backfill of {marked.decode()}: "
                "run it on that log again, or use another key_prefix"
            )
        if marked is None and held:
            raise Misuse(f"{self._name()} holds state already: backfill into another key_prefix, or erase this one")
        if marked is None:
            await self._open({EVENTS: own_topic_id(log)})
        epoch = (await self._open(topic_ids))[EVENTS]
        if any(position.epoch != epoch for position in held.values()):
            raise Misuse(
                f"{self._name()}: the events topic was made anew since this backfill began: backfill into another "
                "key_prefix, or erase this one"
            )
        await self._redis.ask([("HSET", self._meta, _MARK, log)])
        return Claimed({p: held.get(p, Position(epoch=epoch)) for p in self._partitions})

    async def _open(self, topic_ids: Mapping[str, str]) -> dict[str, int]:
        return await self.store.open(
            partitions=self._settings.partitions, fold_version=FOLD_VERSION, topic_ids=topic_ids
        )

    async def _check_alone(self) -> None:
        connected = await self._redis.clients()
        for role in ("worker", ROLE):
            if client_name(self._settings, role) in connected:
                raise WriterAlive(f"{self._name()} has a {role} alive: stop it, then run this again")

    async def put_items(self, last_line: int, changes: Sequence[ItemChange]) -> None:
        """Write items of a catalogue whose last is on that line; what was written before stays as it is."""
        await self.store.upsert_items(0, last_line, changes)

    async def positions(self) -> dict[int, Position | None]:
        """Return what is applied of each partition."""
        return await self.store.positions(self._partitions)

    async def outcomes(self) -> dict[str, int]:
        """Return what became of all records, those of interrupted runs among them."""
        return await self.store.stats(self._partitions)

    async def users(self) -> int:
        """Return how many users have a state."""
        users: set[bytes] = set()
        async for key in self._redis.keys(self._settings.key_prefix + "u:*"):
            users.add(key)
        return len(users)

    async def finish(self) -> None:
        """Take the mark away: the namespace is whole."""
        await self._redis.ask([("HDEL", self._meta, _MARK)])

    def _name(self) -> str:
        return f"Redis at {self._redis.address}, key prefix {self._settings.key_prefix!r},"


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Namespace]:
    """Connect to the namespace of the settings, for the length of a block."""
    redis = connect(settings)
    try:
        yield Namespace(redis, settings)
    finally:
        await redis.close()
