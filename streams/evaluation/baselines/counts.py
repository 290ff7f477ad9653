"""Items by number, how often each was met, and the order of popularity: what all baselines share."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from streams.evaluation.base import Case
from streams.evaluation.baselines.scoring import choose

_FIRST_SIZE = 1024
_WORD_BYTES = 8


class ItemCounts:
    """Arrays by item number, longer than `len(ids)`: `counts` (I,), and `keys` (I, words), ids as big-endian numbers.

    Rows of `keys` are in the order of the ids. Only `count` adds items; asking changes nothing.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.index: dict[str, int] = {}
        self.counts = np.zeros(_FIRST_SIZE, np.int64)
        self.keys = np.zeros((_FIRST_SIZE, 1), np.uint64)
        self._head: NDArray[np.int64] | None = None

    def count(self, item_id: str) -> int:
        """Count an item once more; return its number."""
        number = self.index.get(item_id)
        if number is None:
            number = self._add(item_id)
        self.counts[number] += 1
        self._head = None
        return number

    def by_popularity(self, size: int) -> NDArray[np.int64]:
        """Return at least the `size` most frequent items, or all if there are fewer; ties by id."""
        met = len(self.ids)
        if self._head is None or len(self._head) < min(size, met):
            size = 1 << size.bit_length()  # so a little more, the next time, is there already
            counts = self.counts[:met]
            least = np.partition(counts, met - size)[met - size] if size < met else 0
            head = np.flatnonzero(counts >= least)
            self._head = head[np.lexsort((*self.keys[head].T[::-1], -counts[head]))]
        return self._head

    def numbers(self, item_ids: Iterable[str]) -> NDArray[np.int64]:
        """Return the number of each item, -1 for one that was never met."""
        return np.array([self.index.get(item_id, -1) for item_id in item_ids], np.int64)

    def ranked(self, found: NDArray[np.int64], scores: NDArray[np.float64], case: Case, k: int) -> list[str]:
        """Return the `k` best of `found` that the case allows, filled up; `scores` is all zeros afterwards."""
        hidden = self.numbers(case.masked)
        if case.given:
            hidden = np.concatenate((hidden, np.setdiff1d(found, self.numbers(case.given))))
        best = choose(found, scores, self.counts, self.keys, hidden, k)
        return self.filled([self.ids[number] for number in best.tolist()], case, k)

    def filled(self, best: list[str], case: Case, k: int) -> list[str]:
        """Return `best`, which the case allows, filled up to `k` with the most frequent others that it allows."""
        chosen = dict.fromkeys(best[:k])
        if len(chosen) < k:
            for item in self._fillers(case, k):
                if item not in case.masked:
                    chosen[item] = None
                    if len(chosen) >= k:
                        break
        return list(chosen)

    def _fillers(self, case: Case, k: int) -> Sequence[str]:
        """Return enough items by popularity to find `k` that aren't masked."""
        if case.given:
            met = {item: int(self.counts[self.index[item]]) for item in case.given if item in self.index}
            return sorted(set(case.given), key=lambda item: (-met.get(item, 0), item))
        return [self.ids[number] for number in self.by_popularity(k + len(case.masked)).tolist()]

    def _add(self, item_id: str) -> int:
        number = self.index[item_id] = len(self.ids)
        self.ids.append(item_id)
        if number == len(self.counts):
            self.counts = np.concatenate((self.counts, np.zeros_like(self.counts)))
            self.keys = np.concatenate((self.keys, np.zeros_like(self.keys)))
        raw = item_id.encode()
        words = -(-len(raw) // _WORD_BYTES)
        if (missing := words - self.keys.shape[1]) > 0:
            self.keys = np.pad(self.keys, ((0, 0), (0, missing)))
        self.keys[number, :words] = np.frombuffer(raw.ljust(words * _WORD_BYTES, b"\0"), ">u8")
        return number
