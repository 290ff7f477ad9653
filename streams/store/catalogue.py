"""The catalogue in Redis: a hash of all items, what their texts mean, and a capped stream that says what changed.

Everything has the hash tag `{items}`. A stream entry holds only ids and the mark of the entry before it; a reader
fetches the present value of each id, so an item that changes often is read once, and a broken chain of marks tells
the reader that it missed something. A partition's offset moves in the same script as its items, so repeats do nothing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from streams.contracts.topics import ITEMS
from streams.store.base import ITEM_CHANGES_KEPT, ItemChange, Meaning
from streams.store.connection import RedisConnection, Script

SLICE = 500
"""Items fetched, or given their meanings, in one round trip."""


class RedisCatalogue:
    """The half of `RedisStore` that keeps items."""

    def __init__(self, connection: RedisConnection, prefix: str) -> None:
        self._redis = connection
        self._epochs: dict[str, int] = {}
        self._upsert_script = Script("upsert.lua")
        self._meanings_script = Script("meanings.lua")
        self._catalogue_key = prefix + "{items}:catalogue"
        self._item_changes_key = prefix + "{items}:changes"
        self._item_offset_key = prefix + "{items}:offset"
        self._codes_key = prefix + "{items}:codes"
        self._vectors_key = prefix + "{items}:vectors"

    async def upsert_items(self, partition: int, offset: int, changes: Sequence[ItemChange]) -> bool:
        """Write catalogue changes of a partition of `items` up to `offset`; False (nothing done) if done before."""
        last = {change.item_id: change.value for change in changes}
        present = {item_id: value for item_id, value in last.items() if value is not None}
        pairs = [part for pair in present.items() for part in pair]
        deleted = [item_id for item_id, value in last.items() if value is None]
        keys = self._keys()
        blob = msgspec.msgpack.encode(list(last))
        epoch = self._epochs.get(ITEMS, 0)
        args = (epoch, partition, offset, ITEM_CHANGES_KEPT, len(last), blob, len(present), *pairs, *deleted)
        (written,) = await self._redis.call(self._upsert_script, [(keys, args)])
        return bool(written)

    async def items_positions(self) -> dict[int, int]:
        """Return the last offset of each partition of `items` that was written, for this epoch of the topic."""
        (stored,) = await self._redis.ask([("HGETALL", self._item_offset_key)])
        epoch = b"%d" % self._epochs.get(ITEMS, 0)
        fields = ((field.split(b":"), offset) for field, offset in stored.items() if b":" in field)
        return {int(partition): int(offset) for (of, partition), offset in fields if of == epoch}

    async def put_meanings(self, meanings: Mapping[str, Meaning]) -> None:
        """Write what the texts of items mean; readers see it as changes. A deleted item has none, also later."""
        ids, keys = list(meanings), self._keys()
        for some in (ids[i : i + SLICE] for i in range(0, len(ids), SLICE)):
            parts = [part for item_id in some for part in (item_id, *meanings[item_id])]
            args = (ITEM_CHANGES_KEPT, msgspec.msgpack.encode(some), *parts)
            await self._redis.call(self._meanings_script, [(keys, args)])

    async def vectors(self, item_ids: Sequence[str]) -> list[bytes | None]:
        """Return the vectors of items as they were put, in order."""
        if not item_ids:
            return []
        (found,) = await self._redis.ask([("HMGET", self._vectors_key, *item_ids)])
        return list(found)

    async def items(self) -> AsyncIterator[Sequence[ItemChange]]:
        """Yield the whole catalogue in slices."""
        cursor, started = 0, False
        while cursor or not started:
            ((cursor, found),) = await self._redis.ask([("HSCAN", self._catalogue_key, cursor, "COUNT", SLICE)])
            started = True
            if found:
                (codes,) = await self._redis.ask([("HMGET", self._codes_key, *found)])
                ids = (item_id.decode() for item_id in found)
                yield list(map(ItemChange, ids, found.values(), codes))

    async def item_changes(self, since: str | None) -> tuple[list[ItemChange], str, bool]:
        """Return catalogue changes after `since` (None: from now on), the new mark, and False if some were dropped."""
        head_of = ("HGET", self._item_offset_key, "changes")
        if since is None:
            (head,) = await self._redis.ask([head_of])
            return [], read_mark(head), True
        head, entries = await self._redis.ask([head_of, ("XRANGE", self._item_changes_key, f"({since}", "+")])
        mark, complete = follow(since, read_mark(head), entries)
        ids = {item_id: None for _, entry in entries for item_id in msgspec.msgpack.decode(entry[b"ids"])}
        return await self._present(list(ids)), mark, complete

    async def _present(self, ids: Sequence[str]) -> list[ItemChange]:
        """Return what the catalogue says of these items now."""
        slices = [ids[i : i + SLICE] for i in range(0, len(ids), SLICE)]
        changes: list[ItemChange] = []
        for some in slices:
            wanted = [("HMGET", key, *some) for key in (self._catalogue_key, self._codes_key)]
            values, codes = await self._redis.ask(wanted)
            changes += map(ItemChange, some, values, codes)
        return changes

    def _keys(self) -> tuple[str, ...]:
        """Return the keys of the scripts that write."""
        return (
            self._catalogue_key,
            self._item_changes_key,
            self._item_offset_key,
            self._codes_key,
            self._vectors_key,
        )


def read_mark(stored: bytes | None) -> str:
    """Return the mark of the last entry of a stream; one that is before the first if there is none."""
    return stored.decode() if stored else "0-0"


def follow(since: str, head: str, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> tuple[str, bool]:
    """Follow a chain of stream entries read after the mark `since`; return the new mark, and False at a missing link.

    `head` is the last mark by the writer's own account, read before the entries: a reader ahead of it has seen what
    the server lost again in a fail-over.
    """
    if not entries:
        return head, head == since
    complete = True
    mark = since
    for entry_id, entry in entries:
        complete = complete and entry[b"prev"] == mark.encode()
        mark = entry_id.decode()
    return mark, complete
