"""State in plain dicts, for the simulator and for tests: the same rules as Redis, without I/O.

No method awaits anything while it changes state, so each is atomic among the tasks of one event loop.
"""

import re
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from streams.contracts.topics import ITEMS
from streams.errors import StoreMismatch
from streams.store.base import (
    CHANGES_KEPT,
    ITEM_CHANGES_KEPT,
    ROW_KEEP,
    ROW_LIMIT,
    Change,
    Commit,
    Committed,
    ItemChange,
    Meaning,
    Message,
    Position,
    Row,
)

T = TypeVar("T")
_BUCKET = re.compile(r"(-?[0-9]{1,15}):")
SLICE = 500
"""Rows or items that are yielded at once."""


class _Log(Generic[T]):
    """The last entries of a feed; a reader whose next entry has been dropped is told so."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._entries: deque[tuple[Sequence[T], int]] = deque()
        self._held = 0
        self._last = 0

    def append(self, entry: Sequence[T], size: int) -> None:
        """Take an entry that counts as `size`."""
        self._entries.append((entry, size))
        self._held += size
        self._last += 1
        while self._held > self._kept and len(self._entries) > 1:
            self._held -= self._entries.popleft()[1]

    def after(self, mark: str | None) -> tuple[list[Sequence[T]], str, bool]:
        """Return the entries after a mark (None: from now on), the new mark, and False if some were dropped."""
        missed = 0 if mark is None else self._last - int(mark)
        held = len(self._entries)
        entries = [self._entries[i][0] for i in range(held - min(missed, held), held)] if missed > 0 else []
        return entries, str(self._last), missed <= held


@dataclass(slots=True)
class _Partition:
    """All that is stored of one partition."""

    changes: _Log[Row]
    position: Position | None = None
    token: str = ""
    states: dict[str, bytes] = field(default_factory=dict)
    ledgers: dict[str, bytes] = field(default_factory=dict)
    opened: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    touched: set[str] = field(default_factory=set)
    stats: Counter[str] = field(default_factory=Counter)
    outbox: list[Message] = field(default_factory=list)


class MemoryStore:
    """The home of state that ends with the process."""

    def __init__(
        self, *, row_limit: int = ROW_LIMIT, row_keep: int = ROW_KEEP, changes_kept: int = CHANGES_KEPT
    ) -> None:
        self._row_limit = row_limit
        self._row_keep = row_keep
        self._partitions = defaultdict[int, _Partition](lambda: _Partition(_Log(changes_kept)))
        self._claim: tuple[int, int] | None = None
        self._topics: dict[str, tuple[str, int]] = {}
        self._items: dict[str, bytes] = {}
        self._meanings: dict[str, Meaning] = {}
        self._item_changes: _Log[str] = _Log(ITEM_CHANGES_KEPT)
        self._item_offsets: dict[tuple[int, int], int] = {}

    async def open(self, *, partitions: int, fold_version: int, topic_ids: Mapping[str, str]) -> dict[str, int]:
        """Claim or check the namespace; return each topic's epoch.

        Raises:
            StoreMismatch: the namespace holds another partition count or fold version.
        """
        self._claim = self._claim or (partitions, fold_version)
        if self._claim != (partitions, fold_version):
            raise StoreMismatch(
                f"this memory holds {self._claim[0]} partitions of fold version {self._claim[1]}, "
                f"not {partitions} of version {fold_version}: use another store"
            )
        for topic, topic_id in topic_ids.items():
            known, epoch = self._topics.get(topic, (topic_id, 0))
            self._topics[topic] = (topic_id, epoch if known == topic_id else epoch + 1)
        return {topic: self._topics[topic][1] for topic in topic_ids}

    async def positions(self, partitions: Sequence[int]) -> dict[int, Position | None]:
        """Return what is stored for each partition (of any epoch), None where nothing is."""
        return {p: self._partitions[p].position for p in partitions}

    async def outbox(self, partition: int) -> list[Message]:
        """Return the messages of the last commit."""
        return list(self._partitions[partition].outbox)

    async def load(
        self, users: Sequence[tuple[int, str]], ledgers: Sequence[tuple[int, str]] = ()
    ) -> list[bytes | None]:
        """Return the packed states of (partition, user) pairs, then the ledgers of (partition, slate) pairs."""
        states = [self._partitions[partition].states.get(user) for partition, user in users]
        return states + [self._partitions[partition].ledgers.get(slate) for partition, slate in ledgers]

    async def waiting(self, partitions: Sequence[int]) -> dict[int, Mapping[str, str]]:
        """Return, for each partition, the slates that have a ledger and what was said of each when it was opened."""
        return {p: dict(self._partitions[p].opened) for p in partitions}

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """Apply each commit or answer that its writer is fenced."""
        return [self._commit(self._partitions[commit.partition], commit) for commit in commits]

    def _commit(self, home: _Partition, commit: Commit) -> Committed:
        stored, believed, position = home.position, commit.believed, commit.position
        if stored and (stored.epoch, stored.offset, home.token) == (position.epoch, position.offset, commit.token):
            return Committed(fenced=False, stored=stored)
        expected = stored is not None and (stored.epoch, stored.offset) == (believed.epoch, believed.offset)
        first = believed.offset == -1 and (stored is None or stored.epoch < believed.epoch)
        if not (expected or first):
            return Committed(fenced=True, stored=stored)
        changed = self._prune(home) if commit.prune else []
        _write(home.states, commit.states)
        _write(home.ledgers, commit.ledgers)
        home.opened.update(commit.opened)
        for slate in commit.ledgers:
            if slate not in home.ledgers:
                home.opened.pop(slate, None)
        for row, increments in commit.counts.items():
            values = home.rows[row]
            new = [values.get(name, 0) + increment for name, increment in increments.items()]
            values.update(zip(increments, new, strict=True))
            changed.append(Row(row, list(increments), new))
        home.touched.update(commit.counts)
        home.stats.update(commit.stats)
        home.outbox = list(commit.outbox)
        home.position, home.token = position, commit.token
        if changed:
            home.changes.append(changed, sum(len(row.fields) for row in changed))
        return Committed(fenced=False, stored=position)

    def _prune(self, home: _Partition) -> list[Row]:
        """Cut back the rows that grew too long since the last prune; return their lost fields with value 0."""
        changed = []
        for row in home.touched:
            values = home.rows[row]
            if len(values) > self._row_limit:
                newest = sorted(values, key=lambda name: (-_bucket(name), -values[name], name))
                gone = newest[self._row_keep :]
                for name in gone:
                    del values[name]
                changed.append(Row(row, gone, [0] * len(gone)))
        home.touched.clear()
        return changed

    async def counts(self, partition: int) -> AsyncIterator[Change]:
        """Yield all counters of a partition. Call `changes` first, to miss nothing meanwhile."""
        rows = self._partitions[partition].rows
        names = list(rows)
        for i in range(0, len(names), SLICE):
            some = names[i : i + SLICE]
            yield Change(partition, [Row(row, list(rows[row]), list(rows[row].values())) for row in some])

    async def changes(self, partitions: Sequence[int], since: dict[int, str]) -> tuple[list[Change], bool]:
        """Return counter changes after the marks in `since`, which it moves on in place (absent: from now on)."""
        changes, complete = [], True
        for p in partitions:
            entries, since[p], unbroken = self._partitions[p].changes.after(since.get(p))
            changes += [Change(p, entry) for entry in entries]
            complete = complete and unbroken
        return changes, complete

    async def upsert_items(self, partition: int, offset: int, changes: Sequence[ItemChange]) -> bool:
        """Write catalogue changes of a partition of `items` up to `offset`; False (nothing done) if done before."""
        epoch = self._items_epoch()
        if self._item_offsets.get((epoch, partition), -1) >= offset:
            return False
        self._item_offsets[epoch, partition] = offset
        for change in changes:
            if change.value is None:
                self._items.pop(change.item_id, None)
                self._meanings.pop(change.item_id, None)
            else:
                self._items[change.item_id] = change.value
        if changes:
            self._item_changes.append([change.item_id for change in changes], len(changes))
        return True

    async def put_meanings(self, meanings: Mapping[str, Meaning]) -> None:
        """Write what the texts of items mean; readers see it as changes. A deleted item has none, also later."""
        present = {item_id: meaning for item_id, meaning in meanings.items() if item_id in self._items}
        self._meanings.update(present)
        if present:
            self._item_changes.append(list(present), len(present))

    async def vectors(self, item_ids: Sequence[str]) -> list[bytes | None]:
        """Return the vectors of items as they were put, in order."""
        return [self._meanings[item].vector if item in self._meanings else None for item in item_ids]

    def _change(self, item_id: str) -> ItemChange:
        """Return what the catalogue says of an item now."""
        meaning = self._meanings.get(item_id)
        return ItemChange(item_id, self._items.get(item_id), meaning and meaning.code)

    def _items_epoch(self) -> int:
        return self._topics.get(ITEMS, ("", 0))[1]

    async def items_positions(self) -> dict[int, int]:
        """Return the last offset of each partition of `items` that was written, for this epoch of the topic."""
        now = self._items_epoch()
        return {partition: offset for (epoch, partition), offset in self._item_offsets.items() if epoch == now}

    async def items(self) -> AsyncIterator[Sequence[ItemChange]]:
        """Yield the whole catalogue in slices."""
        items = [self._change(item_id) for item_id in self._items]
        for i in range(0, len(items), SLICE):
            yield items[i : i + SLICE]

    async def item_changes(self, since: str | None) -> tuple[list[ItemChange], str, bool]:
        """Return the items changed after `since` (None: from now on), the new mark, and False if some were dropped."""
        entries, mark, complete = self._item_changes.after(since)
        ids = {item_id: None for entry in entries for item_id in entry}
        return [self._change(item_id) for item_id in ids], mark, complete

    async def stats(self, partitions: Sequence[int]) -> dict[str, int]:
        """Return the outcome counts summed over partitions."""
        sums: Counter[str] = Counter()
        for p in partitions:
            sums.update(self._partitions[p].stats)
        return dict(sums)

    async def states(self, partition: int) -> AsyncIterator[tuple[str, bytes]]:
        """Yield each user of a partition with its packed state, in the order of their names."""
        for user, state in sorted(self._partitions[partition].states.items()):
            yield user, state

    async def close(self) -> None:
        """Keep everything: a memory can be opened again."""


def _write(home: dict[str, bytes], values: Mapping[str, bytes | None]) -> None:
    """Set values, and erase those that are None."""
    for name, value in values.items():
        if value is None:
            home.pop(name, None)
        else:
            home[name] = value


def _bucket(name: str) -> int:
    """Return the time bucket in front of a counter field's name; 0, so the oldest, if there is none."""
    match = _BUCKET.match(name)
    return int(match[1]) if match else 0
