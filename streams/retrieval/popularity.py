"""What is popular, lately and on the whole: weighted signals a day, decayed as of the newest day. Exact integers.

`trend` and `popular` are dense arrays over item indices, grown as needed, and `logs` are their logarithms, worked out
when a count changes and not when it is read; `best` gives the top of either, within a category if asked, computed once
between two changes.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streams.features.item import Catalogue

HALF_LIFE_DAYS = {"trend": 5, "popular": 60}
KEPT_DAYS = 255
"""Older days weigh nothing."""
SIGNAL_WEIGHTS = {"v": 1, "c": 1, "a": 3, "p": 6, "r": 1}
"""How much a view, click, cart, purchase, and a rating or review say; only ratios matter."""
BEST = 200
UNIT = 1 << 16
"""What a count says of one weighted signal of today."""
_AGES = np.arange(KEPT_DAYS + 1)
_DECAY = {name: (UNIT * 0.5 ** (_AGES / days)).astype(np.int64) for name, days in HALF_LIFE_DAYS.items()}
SIGNAL_CODES = {signal: code for code, signal in enumerate(SIGNAL_WEIGHTS)}
"""Signals by number, as `Popularity.set` wants them."""
_WEIGHTS = tuple(SIGNAL_WEIGHTS.values())

Span = Literal["trend", "popular"]


class Popularity:
    """Decayed counts by item index: arrays of shape (capacity,), in weighted signals times 2**16."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._counts: dict[Span, NDArray[np.int64]] = {
            "trend": np.zeros(1024, np.int64),
            "popular": np.zeros(1024, np.int64),
        }
        self._logs: dict[Span, NDArray[np.float64]] = {"trend": np.zeros(1024), "popular": np.zeros(1024)}
        self._values: dict[int, dict[int, int]] = {}
        self._days: dict[int, dict[int, int]] = {}
        self._columns: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._newest = 0
        self._best: dict[tuple[Span, int], NDArray[np.int64]] = {}
        self._best_version = -1

    def set(
        self,
        partitions: NDArray[np.int64],
        items: NDArray[np.int64],
        days: NDArray[np.int64],
        signals: NDArray[np.int64],
        values: NDArray[np.int64],
    ) -> None:
        """Take the absolute values (N,) of counters; 0 removes one. Days that weigh nothing any more are not kept.

        `signals` (N,) are their SIGNAL_CODES.
        """
        if not len(items):
            return
        self._grow(int(items.max()) + 1)
        self._best.clear()
        newest = int(days.max())
        if newest > self._newest:
            self._roll(newest)
        kept = np.flatnonzero(self._newest - days <= KEPT_DAYS)
        items, days = items[kept], days[kept]
        keys = ((items << 16 | partitions[kept]) << 2 | signals[kept]).tolist()
        deltas = np.array(
            [
                self._delta(*change)
                for change in zip(items.tolist(), days.tolist(), keys, values[kept].tolist(), strict=True)
            ],
            np.int64,
        )
        for span, counts in self._counts.items():
            np.add.at(counts, items, deltas * _DECAY[span][self._newest - days])
            self._logs[span][items] = np.log1p(counts[items] / UNIT)

    def _delta(self, item: int, day: int, key: int, value: int) -> int:
        """Take one value in; return by how much, weighted, the item's count of that day grows."""
        by_counter = self._values.get(day)
        if by_counter is None:
            by_counter = self._values[day] = {}
            self._days[day] = {}
        delta = (value - by_counter.get(key, 0)) * _WEIGHTS[key & 3]
        by_counter[key] = value
        by_item = self._days[day]
        by_item[item] = by_item.get(item, 0) + delta
        self._columns.pop(day, None)
        return delta

    def counts(self, span: Span, size: int) -> NDArray[np.int64]:
        """Return the decayed counts of the first `size` items, shape (size,); don't write to it."""
        self._grow(size)
        return self._counts[span][:size]

    def logs(self, span: Span, size: int) -> NDArray[np.float64]:
        """Return log(1 + decayed count in signals) of the first `size` items, shape (size,); don't write to it."""
        self._grow(size)
        return self._logs[span][:size]

    def best(self, span: Span, category: int | None = None) -> NDArray[np.int64]:
        """Return up to BEST items that may be served, the most popular first; of one category code, if given."""
        if self._best_version != self._catalogue.version:
            self._best.clear()
            self._best_version = self._catalogue.version
        key = (span, category or 0)
        found = self._best.get(key)
        if found is None:
            found = self._best[key] = self._find_best(span, category)
        return found

    def _find_best(self, span: Span, category: int | None) -> NDArray[np.int64]:
        catalogue, size = self._catalogue, len(self._catalogue)
        counts = self.counts(span, size)
        items = np.flatnonzero(counts) if category is None else catalogue.in_category(category)
        items = items[(counts[items] > 0) & catalogue.servable[items] & catalogue.in_stock[items]]
        if len(items) > BEST:
            floor = np.partition(counts[items], -BEST)[-BEST]
            items = items[counts[items] >= floor]
        return items[np.lexsort((catalogue.digest[items], -counts[items]))][:BEST]

    def _roll(self, day: int) -> None:
        """Make `day` the newest: drop what is too old, count everything anew with its new age."""
        self._newest = day
        for old in [d for d in self._days if day - d > KEPT_DAYS]:
            del self._days[old], self._values[old]
            self._columns.pop(old, None)
        for d, by_item in self._days.items():
            if d not in self._columns:
                items = np.fromiter(by_item.keys(), np.int64, len(by_item))
                self._columns[d] = items, np.fromiter(by_item.values(), np.int64, len(by_item))
        for span, counts in self._counts.items():
            counts[:] = 0
            for d, (items, values) in self._columns.items():
                counts[items] += values * _DECAY[span][day - d]
            np.log1p(counts / UNIT, out=self._logs[span])

    def _grow(self, size: int) -> None:
        if size <= len(self._counts["trend"]):
            return
        more = max(size, 2 * len(self._counts["trend"])) - len(self._counts["trend"])
        for span, counts in self._counts.items():
            self._counts[span] = np.concatenate((counts, np.zeros(more, np.int64)))
            self._logs[span] = np.concatenate((self._logs[span], np.zeros(more)))
