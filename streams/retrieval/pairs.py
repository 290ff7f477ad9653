"""Co-visitation counts in memory: for an item, which items follow or precede it and how much, decayed to now.

Values are absolute and come from the store's counters, by partition and month; a reader sums over both. Rows are
sorted arrays, 12 bytes an entry; changes wait in a dict until their row is read, so that ingest stays cheap. All sums
are of integers, hence the same in whatever order the changes came.
"""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.features.item import Catalogue
from streams.retrieval.grouping import group

MAX_NEIGHBOURS = 128
"""Neighbours of an item that a reader gets, the strongest."""
MAX_WAITING_ROWS = 20_000
"""Rows with changes that were not merged yet; more of them is merged at the next refresh, 20 us a row."""
FORWARD = 2
"""What a pair in this order counts, where one in the other order counts 1."""
HALF_LIFE_BUCKETS = 4
"""Months in which a count loses half of its weight."""
_DECAY_UNIT = 1 << 10
_MONTHS = 64
_DECAY = np.array([int(_DECAY_UNIT * 0.5 ** (age / HALF_LIFE_BUCKETS)) for age in range(_MONTHS)], np.int64)
_NO_KEY = -1
_EMPTY_KEYS, _EMPTY_VALUES = np.empty(0, np.int64), np.empty(0, np.int32)
_BACKWARD, _PARTITION_SHIFT, _MONTH_SHIFT = 1 << 62, 48, 32
_ITEM_MASK = (1 << _MONTH_SHIFT) - 1
_MAX_VALUE = 2**31 - 1


class Neighbours(NamedTuple):
    """Items by index, shape (N,), ascending, and their decayed weights, shape (N,)."""

    items: NDArray[np.int64]
    weights: NDArray[np.float64]


_NOBODY = Neighbours(np.empty(0, np.int64), np.empty(0))


class Pairs:
    """Rows of (direction, partition, month, other item) to value, one an item."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._rows: dict[int, tuple[NDArray[np.int64], NDArray[np.int32]]] = {}
        self._waiting: dict[int, dict[int, int]] = {}
        self._read: dict[int, Neighbours] = {}
        self._month = 0

    def set(self, partition: int, month: int, item: int, other: int, value: int) -> None:
        """Take the absolute value of the counter of `other` after `item`; 0 removes it."""
        self.set_row(partition, item, [(month, other, value)])

    def set_row(self, partition: int, item: int, values: Iterable[tuple[int, int, int]]) -> None:
        """Take the absolute values (month, other, value) of counters after `item`; 0 removes one."""
        forward = self._row_to_change(item)
        back = partition << _PARTITION_SHIFT | _BACKWARD | item
        ahead = partition << _PARTITION_SHIFT
        for month, other, value in values:
            bucket = (month & 0xFFFF) << _MONTH_SHIFT
            forward[ahead | bucket | other] = value
            self._row_to_change(other)[back | bucket] = value
            if month > self._month:
                self._month = month
                self._read.clear()

    def neighbours(self, item: int) -> Neighbours:
        """Return the strongest MAX_NEIGHBOURS of an item, ties by digest."""
        read = self._read.get(item)
        if read is None:
            read = self._read[item] = self._decayed(item)
        return read

    def merge_some(self) -> None:
        """Merge the rows that wait longest if many do, so that what waits stays bounded though nobody reads it."""
        surplus = len(self._waiting) - MAX_WAITING_ROWS
        for item in list(itertools.islice(self._waiting, max(0, surplus))):
            self._row(item)

    def _row_to_change(self, item: int) -> dict[int, int]:
        row = self._waiting.get(item)
        if row is None:
            row = self._waiting[item] = {}
            self._read.pop(item, None)
        return row

    def _row(self, item: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        waiting = self._waiting.pop(item, None)
        keys, values = self._rows.get(item, (_EMPTY_KEYS, _EMPTY_VALUES))
        if not waiting:
            return keys, values
        changed = sorted(waiting)
        new_keys = np.array(changed, np.int64)
        new_values = np.array([min(waiting[key], _MAX_VALUE) for key in changed], np.int32)
        place = np.searchsorted(keys, new_keys)
        fresh = np.append(keys, _NO_KEY)[place] != new_keys
        values[place[~fresh]] = new_values[~fresh]
        keys, values = (
            np.insert(keys, place[fresh], new_keys[fresh]),
            np.insert(values, place[fresh], new_values[fresh]),
        )
        if not new_values.all():
            keys, values = keys[values != 0], values[values != 0]
        self._rows[item] = keys, values
        return keys, values

    def _decayed(self, item: int) -> Neighbours:
        keys, values = self._row(item)
        if not len(keys):
            return _NOBODY
        age = np.minimum(self._month - (keys >> _MONTH_SHIFT & 0xFFFF), _MONTHS - 1)
        says = np.where(keys & _BACKWARD, 1, FORWARD) * values * _DECAY[age]
        others, where = group(keys & _ITEM_MASK)
        weights = np.bincount(where, says)  # exact: integers below 2**53
        if len(others) > MAX_NEIGHBOURS:
            floor = np.partition(weights, -MAX_NEIGHBOURS)[-MAX_NEIGHBOURS]
            strongest = np.flatnonzero(weights >= floor)  # a few more than wanted, if some are equal
            order = np.lexsort((self._catalogue.digest[others[strongest]], -weights[strongest]))
            strongest = np.sort(strongest[order[:MAX_NEIGHBOURS]])
            others, weights = others[strongest], weights[strongest]
        return Neighbours(others, weights / (_DECAY_UNIT * FORWARD))
