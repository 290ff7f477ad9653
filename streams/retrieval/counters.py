"""The in-process snapshot of all counters: fed with the store's changes, read by the candidate sources.

It is as old as its last refresh; the worker refreshes it by time, tests and the simulator by a count of events.
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from streams.features.counts import ITEM_ROW, NEXT_ROW
from streams.features.item import Catalogue
from streams.retrieval.pairs import Pairs
from streams.retrieval.popularity import Popularity
from streams.store.base import Change


class Counters:
    """`pairs` is co-visitation, `popularity` what its name says."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.pairs = Pairs(catalogue)
        self.popularity = Popularity(catalogue)

    def replace(self, loaded: "Counters") -> None:
        """Become what was loaded anew."""
        self.pairs, self.popularity = loaded.pairs, loaded.popularity

    def apply(self, changes: Iterable[Change]) -> None:
        """Take in changes; unknown rows (of a newer version) are ignored."""
        for change in changes:
            for row, values in groupby(change.values, itemgetter(0)):
                item = self._catalogue.index_of(row[2:])
                if row.startswith(NEXT_ROW):
                    self._apply_pairs(change.partition, item, values)
                elif row.startswith(ITEM_ROW):
                    for _, name, value in values:
                        day, signal = _day_and_signal(name)
                        self.popularity.set(change.partition, item, day, signal, value)
        self.pairs.merge_some()

    def _apply_pairs(self, partition: int, item: int, values: Iterable[tuple[str, str, int]]) -> None:
        index_of, row = self._catalogue.index_of, []
        for _, name, value in values:
            month, _, other = name.partition(":")
            row.append((int(month), index_of(other), value))
        self.pairs.set_row(partition, item, row)


@lru_cache(maxsize=4_096)
def _day_and_signal(name: str) -> tuple[int, str]:
    """Split `<day>:<signal>`, of which there are few different ones."""
    day, _, signal = name.partition(":")
    return int(day), signal
