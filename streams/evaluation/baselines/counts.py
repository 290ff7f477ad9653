"""Items by number, how often each was met, and the order of popularity: what all baselines share."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from streams.evaluation.base import Case

_FIRST_SIZE = 1024
_KEY_BYTES = 8


class ItemCounts:
    """Arrays by item number, longer than `len(ids)`: `counts`, and `keys`, the first bytes of ids as numbers."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.index: dict[str, int] = {}
        self.counts = np.zeros(_FIRST_SIZE, np.int64)
        self.keys = np.zeros(_FIRST_SIZE, np.uint64)
        self._order: NDArray[np.int64] | None = None

    def number(self, item_id: str) -> int:
        """Return the number of an item, a new one if it was never met."""
        number = self.index.get(item_id)
        if number is None:
            number = self.index[item_id] = len(self.ids)
            self.ids.append(item_id)
            if number == len(self.counts):
                self.counts = np.concatenate((self.counts, np.zeros_like(self.counts)))
                self.keys = np.concatenate((self.keys, np.zeros_like(self.keys)))
            self.keys[number] = int.from_bytes(item_id.encode()[:_KEY_BYTES].ljust(_KEY_BYTES, b"\0"), "big")
        return number

    def count(self, item_id: str) -> int:
        """Count an item once more; return its number."""
        number = self.number(item_id)
        self.counts[number] += 1
        self._order = None
        return number

    def by_popularity(self) -> NDArray[np.int64]:
        """Return all items, the most frequent first, ties by id."""
        if self._order is None:
            size = len(self.ids)
            self._order = np.lexsort((self.keys[:size], -self.counts[:size]))
        return self._order

    def numbers(self, item_ids: Iterable[str]) -> NDArray[np.int64]:
        """Return the numbers of those items that were met."""
        found = [self.index[item_id] for item_id in item_ids if item_id in self.index]
        return np.array(found, np.int64)

    def filled(self, best: Iterable[int], case: Case, k: int) -> list[str]:
        """Return the ids of `best` (numbers), filled up to `k` by popularity; of a case with given items only those."""
        given = frozenset(case.given)
        chosen = [self.ids[number] for number in best if not given or self.ids[number] in given][:k]
        taken = case.masked.union(chosen)
        for item in self._by_popularity(case.given):
            if len(chosen) >= k:
                break
            if item not in taken:
                chosen.append(item)
        return chosen

    def _by_popularity(self, given: Sequence[str]) -> Iterator[str]:
        if given:
            yield from sorted(
                given, key=lambda item: (-self.counts[self.index[item]] if item in self.index else 0, item)
            )
        else:
            yield from (self.ids[number] for number in self.by_popularity().tolist())
