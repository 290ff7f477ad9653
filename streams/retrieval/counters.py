"""The in-process snapshot of all counters: fed with the store's changes, read by the candidate sources.

It is as old as its last refresh; the worker refreshes it by time, tests and the simulator by a count of events.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from streams.features.counts import BEFORE_ROW, ITEM_ROW
from streams.features.item import Catalogue
from streams.retrieval.pairs import Pairs
from streams.retrieval.popularity import SIGNAL_CODES, Popularity
from streams.store.base import Change, Row

_CODE_SHIFT = 32
_CODE_MASK = (1 << _CODE_SHIFT) - 1
_MAX_CODES = 1 << 20
"""Field names whose numbers are remembered; they are forgotten all at once."""


class Counters:
    """`pairs` is co-visitation, `popularity` what its name says."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.pairs = Pairs(catalogue)
        self.popularity = Popularity(catalogue)
        self._before_codes = _Codes(catalogue.index_of)
        self._signal_codes = _Codes(SIGNAL_CODES.__getitem__)

    def replace(self, loaded: "Counters") -> None:
        """Become what was loaded anew."""
        self.pairs, self.popularity = loaded.pairs, loaded.popularity

    def apply(self, changes: Iterable[Change]) -> None:
        """Take in changes, best many at once; unknown rows (of a newer version) are ignored."""
        befores, signals = _Columns(self._before_codes), _Columns(self._signal_codes)
        index_of = self._catalogue.index_of
        for change in changes:
            for row in change.rows:
                kind, item_id = row.name[:2], row.name[2:]
                if kind == BEFORE_ROW:
                    befores.add(change.partition, index_of(item_id), row)
                elif kind == ITEM_ROW:
                    signals.add(change.partition, index_of(item_id), row)
        self.pairs.set(*befores.arrays())
        self.popularity.set(*signals.arrays())


class _Codes(dict[str, int]):
    """Field names `<bucket>:<name>` to bucket << 32 | the name's number; parsed once, as most come again and again."""

    def __init__(self, number_of: Callable[[str], int]) -> None:
        self._number_of = number_of

    def __missing__(self, field: str) -> int:
        bucket, _, name = field.partition(":")
        code = int(bucket) << _CODE_SHIFT | self._number_of(name)
        if len(self) >= _MAX_CODES:
            self.clear()
        self[field] = code
        return code


class _Columns:
    """Counters of many rows, one below the other."""

    def __init__(self, codes: _Codes) -> None:
        self._code_of = codes.__getitem__
        self._partitions: list[int] = []
        self._items: list[int] = []
        self._codes: list[int] = []
        self._values: list[int] = []

    def add(self, partition: int, item: int, row: Row) -> None:
        self._partitions.extend(repeat(partition, len(row.fields)))
        self._items.extend(repeat(item, len(row.fields)))
        self._codes.extend(map(self._code_of, row.fields))
        self._values.extend(row.values)

    def arrays(self) -> Sequence[NDArray[np.int64]]:
        """Return partitions, items, buckets, numbers and values, each (N,)."""
        codes = np.array(self._codes, np.int64)
        return (
            np.array(self._partitions, np.int64),
            np.array(self._items, np.int64),
            codes >> _CODE_SHIFT,
            codes & _CODE_MASK,
            np.array(self._values, np.int64),
        )
