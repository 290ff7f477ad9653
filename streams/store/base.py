"""The contract of a home for state: what a worker may read, and the one way in which it may write.

A micro-batch of a partition is one `Commit`, applied atomically or not at all. It names the offset that the writer
believes to be applied; if the store holds another one, nothing changes and the answer is `fenced` with what it holds.
So each record changes the state exactly once, whatever crashes, and a zombie can't write. The applied offset in the
store is the only authority; the one committed to Kafka is for display.

Counters are rows of integer fields that only grow, written by the owner of their partition. Readers sum over
partitions. A `Change` carries the new absolute values, so applying one twice or late does no harm.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

ROW_LIMIT = 512
"""A row that holds more fields than this at a prune is cut back to ROW_KEEP."""
ROW_KEEP = 256
PRUNE_EVERY = 10_000
"""Applied records of a partition between two prunes; batches are cut there, so a prune is where it is in any run."""
CHANGES_KEPT = 100_000
"""Counter values of a partition kept for readers; one further behind loads `counts` anew."""
ITEM_CHANGES_KEPT = 10_000
"""Ids of changed items kept for readers; one further behind loads `items` anew."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish: `topic` without prefix; `partition` None lets the key decide (murmur2)."""

    topic: str
    key: bytes | None
    value: bytes
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """What is applied of one partition: `offset` is the last record, -1 for none; `applied` counts records."""

    epoch: int = 0
    offset: int = -1
    watermark_ms: int = 0
    applied: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """A micro-batch of one partition.

    `believed` is the position the writer thinks is stored and `position` the one to store; `token` is unique to the
    commit, so that one that timed out but succeeded is recognised. `states` maps users to packed states, None to erase.
    `ledgers` maps served slates to packed ledgers, None once they are closed; `opened` says of each new one what
    `waiting` is to return while it is there. `counts` maps a counter row to increments of its fields, `stats` counts
    outcomes for people. `prune` first cuts rows that grew over ROW_LIMIT since the last prune. `outbox` replaces the
    previous outbox.
    """

    partition: int
    believed: Position
    position: Position
    token: str
    states: Mapping[str, bytes | None] = field(default_factory=dict)
    ledgers: Mapping[str, bytes | None] = field(default_factory=dict)
    opened: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    stats: Mapping[str, int] = field(default_factory=dict)
    outbox: Sequence[Message] = ()
    prune: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """The answer to a commit: `fenced` means that nothing changed; `stored` is what the store holds now."""

    fenced: bool
    stored: Position | None


class Row(NamedTuple):
    """Counters of one row, or some of them: fields, and for each its value; 0 means pruned away."""

    name: str
    fields: Sequence[str]
    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Change:
    """New absolute values of counters of a partition. A row may come several times; the last value counts."""

    partition: int
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class ItemChange:
    """One change of the catalogue: the item's JSON as it came, or None for a delete.

    Readers get with it the code of the item's text, if `put_meanings` wrote one.
    """

    item_id: str
    value: bytes | None
    code: bytes | None = None


class Meaning(NamedTuple):
    """What an item's text means: its semantic code, and its vector, packed by `features/meaning.py`."""

    code: bytes
    vector: bytes


class FeatureStore(Protocol):
    """A home for state. Every implementation passes `tests/contracts/test_store.py`.

    Any method may raise `Unreachable` (the server is away, read-only or full): nothing is lost, try again.
    """

    async def open(self, *, partitions: int, fold_version: int, topic_ids: Mapping[str, str]) -> dict[str, int]:
        """Claim or check the namespace for topics (names without prefix); return their epochs, raised for new ids.

        A topic whose id changed was recreated, so stored offsets of earlier epochs say nothing about it.

        Raises:
            StoreMismatch: the namespace holds another partition count or fold version.
        """
        ...

    async def positions(self, partitions: Sequence[int]) -> dict[int, Position | None]:
        """Return what is stored for each partition (of any epoch), None where nothing is; one round trip."""
        ...

    async def outbox(self, partition: int) -> list[Message]:
        """Return the messages of the last commit, byte for byte as committed."""
        ...

    async def load(
        self, users: Sequence[tuple[int, str]], ledgers: Sequence[tuple[int, str]] = ()
    ) -> list[bytes | None]:
        """Return the packed states of (partition, user) pairs, then the ledgers of (partition, slate) pairs, in order.

        One round trip.
        """
        ...

    async def waiting(self, partitions: Sequence[int]) -> dict[int, Mapping[str, str]]:
        """Return, for each partition, the slates that have a ledger and what was said of each when it was opened."""
        ...

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """Apply each commit atomically or not at all, independently of the others; one round trip."""
        ...

    def counts(self, partition: int) -> AsyncIterator[Change]:
        """Yield all counters of a partition. Call `changes` first, to miss nothing meanwhile."""
        ...

    async def changes(self, partitions: Sequence[int], since: dict[int, str]) -> tuple[list[Change], bool]:
        """Return counter changes after the marks in `since`, which it moves on in place (absent: from now on).

        The flag is False if the store dropped changes in between: then load `counts` anew.
        """
        ...

    async def upsert_items(self, partition: int, offset: int, changes: Sequence[ItemChange]) -> bool:
        """Write catalogue changes of a partition of `items` up to `offset`; False (nothing done) if done before."""
        ...

    async def items_positions(self) -> dict[int, int]:
        """Return the last offset of each partition of `items` that was written, for this epoch of the topic."""
        ...

    async def put_meanings(self, meanings: Mapping[str, Meaning]) -> None:
        """Write what the texts of items mean; readers see it as changes. A deleted item has none, also later."""
        ...

    async def vectors(self, item_ids: Sequence[str]) -> list[bytes | None]:
        """Return the vectors of items as they were put, in order."""
        ...

    def items(self) -> AsyncIterator[Sequence[ItemChange]]:
        """Yield the whole catalogue in slices. Call `item_changes` first, to miss nothing meanwhile."""
        ...

    async def item_changes(self, since: str | None) -> tuple[list[ItemChange], str, bool]:
        """Return items changed after `since` (None: from now on), the new mark, and False if some were dropped.

        Each comes once and as it is now, which may be newer than the mark.
        """
        ...

    async def stats(self, partitions: Sequence[int]) -> dict[str, int]:
        """Return the outcome counts summed over partitions."""
        ...

    def states(self, partition: int) -> AsyncIterator[tuple[str, bytes]]:
        """Yield each user of a partition with its packed state, in the order of their names; for tests and tools."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
