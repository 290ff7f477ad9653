"""Keeps a process's catalogue and counters close behind the store: a full load at start, then its change streams."""

import asyncio
from collections.abc import Sequence

from streams.contracts.items import decode_item
from streams.features.item import Catalogue
from streams.features.meaning import Meanings
from streams.retrieval.counters import Counters
from streams.store.base import Change, FeatureStore, ItemChange

ITEMS_AT_ONCE, ROWS_AT_ONCE = 200, 1_000
"""Changes taken in before others of the process get their turn: a few milliseconds."""


class Snapshot:
    """Feeds `catalogue` and `counters` from the store, over all partitions."""

    def __init__(
        self,
        store: FeatureStore,
        catalogue: Catalogue,
        counters: Counters,
        partitions: int,
        meanings: Meanings | None = None,
    ) -> None:
        self._store = store
        self._meanings = meanings
        self._catalogue = catalogue
        self._counters = counters
        self._partitions = range(partitions)
        self._counters_mark: dict[int, str] = {}
        self._items_mark: str | None = None
        self._items_missed = self._counters_missed = False
        """Some changes were dropped by the store, and the full load that makes up for it has not succeeded yet."""

    async def load(self) -> None:
        """Load everything. The marks are taken first, so that nothing written meanwhile is missed."""
        await self._load_items()
        await self._load_counters()

    async def refresh(self) -> None:
        """Take in the changes since the last time; if the store dropped some, load everything again."""
        changes, self._items_mark, complete = await self._store.item_changes(self._items_mark)
        self._items_missed = self._items_missed or not complete
        await self._take_items(changes)
        if self._items_missed:
            listed = await self._load_items()
            self._catalogue.keep(listed)
            self._items_missed = False
        counts, complete = await self._store.changes(self._partitions, self._counters_mark)
        self._counters_missed = self._counters_missed or not complete
        await self._take_counts(self._counters, counts)
        if self._counters_missed:
            await self._load_counters()
            self._counters_missed = False

    async def _load_items(self) -> set[str]:
        """Load the whole catalogue; return the ids that it lists."""
        _, self._items_mark, _ = await self._store.item_changes(None)
        listed: set[str] = set()
        async for changes in self._store.items():
            await self._take_items(changes)
            listed.update(change.item_id for change in changes)
        return listed

    async def _load_counters(self) -> None:
        self._counters_mark = {}
        await self._store.changes(self._partitions, self._counters_mark)
        loaded = Counters(self._catalogue)
        for p in self._partitions:
            await self._take_counts(loaded, [change async for change in self._store.counts(p)])
        self._counters.replace(loaded)

    async def _take_items(self, changes: Sequence[ItemChange]) -> None:
        for start in range(0, len(changes), ITEMS_AT_ONCE):
            for change in changes[start : start + ITEMS_AT_ONCE]:
                self._take_item(change)
            await asyncio.sleep(0)

    def _take_item(self, change: ItemChange) -> None:
        if change.value is None:
            self._catalogue.delete(change.item_id)
            if self._meanings is not None:
                self._meanings.drop(change.item_id)
        else:
            item = decode_item(change.value)
            self._catalogue.upsert(item)
            if self._meanings is not None:
                self._meanings.take(self._catalogue, item, change.code)

    async def _take_counts(self, counters: Counters, changes: Sequence[Change]) -> None:
        waiting: list[Change] = []
        size = 0
        for change in changes:
            for start in range(0, len(change.rows), ROWS_AT_ONCE):
                waiting.append(Change(change.partition, change.rows[start : start + ROWS_AT_ONCE]))
                size += len(waiting[-1].rows)
                if size >= ROWS_AT_ONCE:
                    counters.apply(waiting)
                    waiting, size = [], 0
                    await asyncio.sleep(0)
        counters.apply(waiting)
