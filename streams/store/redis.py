"""State in Redis or Valkey: a micro-batch is one script call, so it is applied atomically or not at all.

Everything of partition p has the hash tag `{p}` and lies in one slot of a Redis Cluster: `u:{p}:user` states,
`s:{p}:slate` ledgers and `open:{p}` what was said of each when it was opened, `c:{p}:row` counters, `offset:{p}` the
position, `out:{p}` the outbox, `stats:{p}` outcomes, `touched:{p}` and `rows:{p}` the names of counter rows (changed
since the last prune, and before it), `delta:{p}` a capped stream of new counter values. `meta` says who the namespace
belongs to. All keys begin with the setting `key_prefix`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from streams.errors import StoreMismatch
from streams.settings import Settings
from streams.store.base import CHANGES_KEPT, ROW_KEEP, ROW_LIMIT, Change, Commit, Committed, Message, Position, Row
from streams.store.catalogue import RedisCatalogue, follow, read_mark
from streams.store.connection import Call, RedisConnection, Script, connect

POSITION_FIELDS = ("epoch", "offset", "watermark_ms", "applied")
SLICE = 500
"""Counter rows fetched in one round trip."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class RedisStore(RedisCatalogue):
    """The home of state that survives: one Redis or Valkey server, or a cluster of them."""

    def __init__(
        self,
        connection: RedisConnection,
        *,
        prefix: str,
        state_ttl_s: int,
        row_limit: int = ROW_LIMIT,
        row_keep: int = ROW_KEEP,
        changes_kept: int = CHANGES_KEPT,
    ) -> None:
        super().__init__(connection, prefix)
        self._prefix = prefix
        self._limits = (state_ttl_s, row_limit, row_keep, changes_kept)
        self._commit_script = Script("commit.lua")
        self._claim_script = Script("claim.lua")
        self._rows_script = Script("rows.lua")

    @classmethod
    def from_settings(cls, settings: Settings, role: str | None = None) -> "RedisStore":
        """Build the store that the settings describe; nothing is sent before `open`. `role`: see `connect`."""
        return cls(connect(settings, role), prefix=settings.key_prefix, state_ttl_s=settings.state_ttl_s)

    async def open(self, *, partitions: int, fold_version: int, topic_ids: Mapping[str, str]) -> dict[str, int]:
        """Claim or check the namespace and the server; return each topic's epoch.

        Raises:
            StoreMismatch: the namespace holds another partition count or fold version.
            StreamrankError: the server may evict keys.
        """
        await self._redis.check_eviction_policy()
        ids = [part for pair in topic_ids.items() for part in pair]
        call: Call = ((self._prefix + "meta",), (partitions, fold_version, *ids))
        (answer,) = await self._redis.call(self._claim_script, [call])
        held, version = int(answer[0]), int(answer[1])
        if (held, version) != (partitions, fold_version):
            raise StoreMismatch(
                f"Redis at {self._redis.address}, key prefix {self._prefix!r}, holds {held} partitions of fold "
                f"version {version}, not {partitions} of version {fold_version}: use another key_prefix, or backfill"
            )
        self._epochs = dict(zip(topic_ids, map(int, answer[2:]), strict=True))
        return dict(self._epochs)

    async def positions(self, partitions: Sequence[int]) -> dict[int, Position | None]:
        """Return what is stored for each partition (of any epoch), None where nothing is; one round trip."""
        answers = await self._redis.ask([("HMGET", self._key("offset", p), *POSITION_FIELDS) for p in partitions])
        return {p: _position(fields) for p, fields in zip(partitions, answers, strict=True)}

    async def outbox(self, partition: int) -> list[Message]:
        """Return the messages of the last commit, byte for byte as committed."""
        (blob,) = await self._redis.ask([("GET", self._key("out", partition))])
        return [Message(*fields) for fields in _decode(blob)] if blob else []

    async def load(
        self, users: Sequence[tuple[int, str]], ledgers: Sequence[tuple[int, str]] = ()
    ) -> list[bytes | None]:
        """Return the packed states of (partition, user) pairs, then the ledgers of (partition, slate) pairs, in order.

        One round trip.
        """
        keys = [(p, self._user_key(p, user)) for p, user in users]
        keys += [(p, self._ledger_key(p, slate)) for p, slate in ledgers]
        places: dict[int, list[int]] = {}
        for place, (partition, _) in enumerate(keys):
            places.setdefault(partition, []).append(place)
        commands = [("MGET", *(keys[i][1] for i in of)) for of in places.values()]
        found: list[bytes | None] = [None] * len(keys)
        for of, values in zip(places.values(), await self._redis.ask(commands), strict=True):
            for i, value in zip(of, values, strict=True):
                found[i] = value
        return found

    async def waiting(self, partitions: Sequence[int]) -> dict[int, Mapping[str, str]]:
        """Return, for each partition, the slates that have a ledger and what was said of each when it was opened."""
        answers = await self._redis.ask([("HGETALL", self._key("open", p)) for p in partitions])
        return {
            p: {slate.decode(): said.decode() for slate, said in answer.items()}
            for p, answer in zip(partitions, answers, strict=True)
        }

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """Apply each commit atomically or not at all; one round trip."""
        answers = await self._redis.call(self._commit_script, [self._call(commit) for commit in commits])
        return [Committed(fenced=answer[0] == 1, stored=_position(answer[1:])) for answer in answers]

    def _call(self, commit: Commit) -> Call:
        p, believed, position = commit.partition, commit.believed, commit.position
        names = ("offset", "out", "stats", "touched", "rows", "delta", "open")
        values = {self._user_key(p, user): state for user, state in commit.states.items()}
        values |= {self._ledger_key(p, slate): ledger for slate, ledger in commit.ledgers.items()}
        held = {key: value for key, value in values.items() if value is not None}
        erased = [key for key, value in values.items() if value is None]
        opened = [part for pair in commit.opened.items() for part in pair]
        closed = [slate for slate, ledger in commit.ledgers.items() if ledger is None]
        outbox = [(m.topic, m.key, m.value, m.partition) for m in commit.outbox]
        ttl_s, row_limit, row_keep, changes_kept = self._limits
        return [*(self._key(name, p) for name in names), *held, *erased], [
            *(believed.epoch, believed.offset),
            *(position.epoch, position.offset, position.watermark_ms, position.applied),
            *(commit.token, ttl_s, int(commit.prune), row_limit, row_keep, changes_kept, self._key("c", p) + ":"),
            *(_encode(_flat(commit.counts)), _encode(commit.stats), _encode(outbox) if outbox else b""),
            *(_encode(opened), _encode(closed), len(held), *held.values()),
        ]

    async def counts(self, partition: int) -> AsyncIterator[Change]:
        """Yield all counters of a partition. Call `changes` first, to miss nothing meanwhile."""
        seen: set[bytes] = set()
        for name in ("touched", "rows"):  # in this order: a prune meanwhile moves rows from the first to the second
            async for rows in self._members(self._key(name, partition)):
                rows = [row for row in rows if row not in seen]
                if not rows:
                    continue
                seen.update(rows)
                keys = [f"{self._key('c', partition)}:{row.decode()}" for row in rows]
                (blob,) = await self._redis.call(self._rows_script, [(keys, rows)])
                yield Change(partition, _counters(blob))

    async def _members(self, key: str) -> AsyncIterator[list[bytes]]:
        cursor, started = 0, False
        while cursor or not started:
            ((cursor, members),) = await self._redis.ask([("SSCAN", key, cursor, "COUNT", SLICE)])
            started = True
            for i in range(0, len(members), SLICE):
                yield members[i : i + SLICE]

    async def changes(self, partitions: Sequence[int], since: dict[int, str]) -> tuple[list[Change], bool]:
        """Return counter changes after the marks in `since`, which it moves on in place (absent: from now on)."""
        known = [p for p in partitions if p in since]
        heads = [("HGET", self._key("offset", p), "delta") for p in partitions]
        after = [("XRANGE", self._key("delta", p), f"({since[p]}", "+") for p in known]
        answers = await self._redis.ask([*heads, *after])
        marks = {p: read_mark(head) for p, head in zip(partitions, answers, strict=False)}
        changes, complete = [], True
        for p, entries in zip(known, answers[len(partitions) :], strict=True):
            marks[p], unbroken = follow(since[p], marks[p], entries)
            complete = complete and unbroken
            changes += [Change(p, _counters(entry[b"pruned"]) + _counters(entry[b"values"])) for _, entry in entries]
        since.update(marks)
        return changes, complete

    async def stats(self, partitions: Sequence[int]) -> dict[str, int]:
        """Return the outcome counts summed over partitions."""
        sums: dict[str, int] = {}
        for answer in await self._redis.ask([("HGETALL", self._key("stats", p)) for p in partitions]):
            for name, count in answer.items():
                sums[name.decode()] = sums.get(name.decode(), 0) + int(count)
        return sums

    async def states(self, partition: int) -> AsyncIterator[tuple[str, bytes]]:
        """Yield each user of a partition with its packed state; scans all keys, so it is for tests and tools."""
        prefix = self._user_key(partition, "")
        users: set[str] = set()
        async for key in self._redis.keys(prefix + "*"):
            users.add(key.decode()[len(prefix) :])
        slices = sorted(users)
        for i in range(0, len(slices), SLICE):
            some = slices[i : i + SLICE]
            for user, state in zip(some, await self.load([(partition, user) for user in some]), strict=True):
                if state is not None:
                    yield user, state

    async def close(self) -> None:
        """Release connections."""
        await self._redis.close()

    def _key(self, name: str, partition: int) -> str:
        return f"{self._prefix}{name}:{{{partition}}}"

    def _ledger_key(self, partition: int, slate: str) -> str:
        return f"{self._prefix}s:{{{partition}}}:{slate}"

    def _user_key(self, partition: int, user: str) -> str:
        return f"{self._prefix}u:{{{partition}}}:{user}"


def _position(fields: Sequence[bytes | None]) -> Position | None:
    values = [int(field) for field in fields if field is not None]
    return Position(*values) if values else None


def _flat(counts: Mapping[str, Mapping[str, int]]) -> list[str | int]:
    """Return [row, n, n fields, n values, row, ...], which Lua reads and packs twice as fast as a map."""
    flat: list[str | int] = []
    for row, values in counts.items():
        flat += (row, len(values), *values, *values.values())
    return flat


def _counters(blob: bytes) -> list[Row]:
    """Return the rows that `_flat` or a script packed."""
    flat = _decode(blob)
    rows: list[Row] = []
    at = 0
    while at < len(flat):
        n = flat[at + 1]
        fields = at + 2
        rows.append(Row(flat[at], flat[fields : fields + n], flat[fields + n : fields + 2 * n]))
        at = fields + 2 * n
    return rows
