"""The in-process snapshot of all counters: fed with the store's changes, read by the candidate sources.

It is as old as its last refresh; the worker refreshes it by time, tests and the simulator by a count of events.
"""

from collections.abc import Iterable

from streams.features.counts import ITEM_ROW, NEXT_ROW
from streams.features.item import Catalogue
from streams.retrieval.pairs import Pairs
from streams.retrieval.popularity import Popularity
from streams.store.base import Change

MERGED_ROWS = 500
"""Waiting rows merged at each refresh, about 5 ms."""


class Counters:
    """`after` and `before` are co-visitation forwards and backwards, `popularity` is what its name says."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.clear()

    def clear(self) -> None:
        """Forget everything, before a full load."""
        self.after, self.before = Pairs(), Pairs()
        self.popularity = Popularity(self._catalogue)

    def apply(self, changes: Iterable[Change]) -> None:
        """Take in changes; unknown rows (of a newer version) are ignored."""
        index_of = self._catalogue.index_of
        for change in changes:
            partition = change.partition
            for row, name, value in change.values:
                bucket, _, what = name.partition(":")
                if row.startswith(NEXT_ROW):
                    item, other = index_of(row[2:]), index_of(what)
                    self.after.set(partition, item, int(bucket), other, value)
                    self.before.set(partition, other, int(bucket), item, value)
                elif row.startswith(ITEM_ROW):
                    self.popularity.set(partition, index_of(row[2:]), int(bucket), what, value)
        self.after.merge_some(MERGED_ROWS)
        self.before.merge_some(MERGED_ROWS)
