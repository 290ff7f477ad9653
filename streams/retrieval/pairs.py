"""Co-visitation counts in memory: for an item, which items follow it and how much, decayed as of the newest bucket.

Values are absolute and come from the store's counters, by partition and month; a reader sums over both. Rows are
sorted arrays, 12 bytes an entry; changes wait in a dict until their row is read, so that ingest stays cheap. All sums
are of integers, hence the same in whatever order the changes came.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_NEIGHBOURS = 512
"""Neighbours of an item that a reader gets, the strongest."""
HALF_LIFE_BUCKETS = 4
"""Months in which a count loses half of its weight."""
_DECAY_UNIT = 1 << 10
_MONTHS = 64
_DECAY = np.array([int(_DECAY_UNIT * 0.5 ** (age / HALF_LIFE_BUCKETS)) for age in range(_MONTHS)], np.int64)
_EMPTY_KEYS, _EMPTY_VALUES = np.empty(0, np.int64), np.empty(0, np.int32)
_PARTITION_SHIFT, _MONTH_SHIFT = 48, 32
_ITEM_MASK = (1 << _MONTH_SHIFT) - 1


class Neighbours(NamedTuple):
    """Items by index, shape (N,), ascending, and their decayed weights in pair units, shape (N,)."""

    items: NDArray[np.int64]
    weights: NDArray[np.float64]


_NOBODY = Neighbours(np.empty(0, np.int64), np.empty(0))


class Pairs:
    """One direction of co-visitation: rows of (partition, month, other item) to value."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[NDArray[np.int64], NDArray[np.int32]]] = {}
        self._pending: dict[int, dict[int, int]] = {}
        self._read: dict[int, Neighbours] = {}
        self._month = 0

    def set(self, partition: int, item: int, month: int, other: int, value: int) -> None:
        """Take the absolute value of a counter; 0 removes it."""
        key = partition << _PARTITION_SHIFT | (month & 0xFFFF) << _MONTH_SHIFT | other
        row = self._pending.get(item)
        if row is None:
            self._pending[item] = {key: value}
            self._read.pop(item, None)
        else:
            row[key] = value
        if month > self._month:
            self._month = month
            self._read.clear()

    def neighbours(self, item: int) -> Neighbours:
        """Return the strongest MAX_NEIGHBOURS of an item."""
        read = self._read.get(item)
        if read is None:
            read = self._read[item] = self._decayed(item)
        return read

    def merge_some(self, rows: int) -> None:
        """Merge up to `rows` waiting rows, so that what waits stays bounded though nobody reads it."""
        for item in list(self._pending)[:rows]:
            self._row(item)

    def _row(self, item: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        pending = self._pending.pop(item, None)
        keys, values = self._rows.get(item, (_EMPTY_KEYS, _EMPTY_VALUES))
        if not pending:
            return keys, values
        new_keys = np.fromiter(pending.keys(), np.int64, len(pending))
        new_values = np.fromiter(pending.values(), np.int32, len(pending))
        keys = np.concatenate((new_keys, keys))
        values = np.concatenate((new_values, values))
        keys, first = np.unique(keys, return_index=True)  # the first of equals is the newer one
        values = values[first]
        if not values.all():
            keys, values = keys[values != 0], values[values != 0]
        self._rows[item] = keys, values
        return keys, values

    def _decayed(self, item: int) -> Neighbours:
        keys, values = self._row(item)
        if not len(keys):
            return _NOBODY
        age = np.minimum(self._month - (keys >> _MONTH_SHIFT & 0xFFFF), _MONTHS - 1)
        others, where = np.unique(keys & _ITEM_MASK, return_inverse=True)
        weights = np.bincount(where, values * _DECAY[age])  # exact: integers below 2**53
        if len(others) > MAX_NEIGHBOURS:
            strongest = np.lexsort((others, -weights))[:MAX_NEIGHBOURS]
            strongest.sort()
            others, weights = others[strongest], weights[strongest]
        return Neighbours(others, weights / _DECAY_UNIT)
