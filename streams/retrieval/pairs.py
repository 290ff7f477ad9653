"""Co-visitation counts in memory: for an item, which items follow or precede it and how much, decayed to now.

Values are absolute and come from the store's counters, by partition and month; a reader sums over both. All rows share
two arrays, 12 bytes an entry and some room to grow: a row is a sorted slice, which moves to the end when it outgrows
its room. All sums are of integers, hence the same in whatever order the changes came.
"""

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled
from streams.features.item import Catalogue
from streams.ordering import best

MAX_NEIGHBOURS = 256
"""Neighbours of an item that a reader gets, the strongest."""
FORWARD = 2
"""What a pair in this order counts, where one in the other order counts 1."""
HALF_LIFE_BUCKETS = 4
"""Months in which a count loses half of its weight."""
DAMP = 0.8
"""The power of a weight in scores: below 1, the second time says less than the first."""
_DECAY_UNIT = 1 << 10
_MONTHS = 64
_DECAY = np.array([int(_DECAY_UNIT * 0.5 ** (age / HALF_LIFE_BUCKETS)) for age in range(_MONTHS)], np.int64)
_OTHER_SHIFT, _BACKWARD, _MONTH_SHIFT, _MONTH_MASK = 31, 1 << 30, 16, (1 << 14) - 1
_MAX_VALUE = 2**31 - 1
_FIRST_ROOM, _FIRST_ENTRIES, _FIRST_ROWS = 4, 1 << 12, 1 << 10
_START, _SIZE, _ROOM = range(3)
ITEM, AFTER, BEFORE, DAMPED = range(4)
"""Columns of neighbours: the item by index; how often, and how closely, it came after, and before, decayed to now; and
both together, with FORWARD and DAMP."""


class Pairs:
    """Rows of (other item, direction, month, partition) to value, one an item."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._keys, self._values = np.empty(_FIRST_ENTRIES, np.int64), np.empty(_FIRST_ENTRIES, np.int32)
        self._used = 0
        self._rows = np.zeros((_FIRST_ROWS, 3), np.int64)
        self._fresh = np.zeros(_FIRST_ROWS, bool)
        self._read: dict[int, NDArray[np.float64]] = {}
        self._month = 0

    def set(
        self,
        partitions: NDArray[np.int64],
        items: NDArray[np.int64],
        months: NDArray[np.int64],
        others: NDArray[np.int64],
        values: NDArray[np.int64],
    ) -> None:
        """Take the absolute values (N,) of the counters of `others` before `items` (N,); 0 removes one."""
        if not len(items):
            return
        self._fit(int(max(items.max(), others.max())) + 1)
        bucket = (months & _MONTH_MASK) << _MONTH_SHIFT | partitions
        values = np.minimum(values, _MAX_VALUE)
        self._put(others, items << _OTHER_SHIFT | bucket, values)
        self._put(items, others << _OTHER_SHIFT | _BACKWARD | bucket, values)
        newest = int(months.max())
        if newest > self._month:
            self._month = newest
            self._fresh[:] = False

    def neighbours(self, item: int) -> NDArray[np.float64]:
        """Return the strongest MAX_NEIGHBOURS of an item, ties by digest; shape (N, 4), ascending by ITEM.

        Don't write to it.
        """
        if item < len(self._fresh) and self._fresh[item]:
            return self._read[item]
        self._fit(item + 1)
        start, size, _ = self._rows[item].tolist()
        keys, values = self._keys[start : start + size], self._values[start : start + size]
        read = self._read[item] = _strongest(keys, values, self._month, self._catalogue.digest, _DECAY)
        self._fresh[item] = True
        return read

    def _put(self, items: NDArray[np.int64], keys: NDArray[np.int64], values: NDArray[np.int64]) -> None:
        order = np.argsort(items, kind="stable")  # what lies in one row is touched together
        items, keys, values = items[order], keys[order], values[order]
        done = 0
        while done < len(items):
            done, self._used = _put(
                items, keys, values, done, self._rows, self._fresh, self._keys, self._values, self._used
            )
            if done < len(items):
                self._move()

    def _fit(self, size: int) -> None:
        """Make sure that there are rows for `size` items."""
        if size > len(self._rows):
            more = max(size, 2 * len(self._rows)) - len(self._rows)
            self._rows = np.concatenate((self._rows, np.zeros((more, 3), np.int64)))
            self._fresh = np.concatenate((self._fresh, np.zeros(more, bool)))

    def _move(self) -> None:
        """Move all rows to larger arrays, closing the gaps that rows left which had moved."""
        entries = 2 * int(self._rows[:, _ROOM].sum()) + _FIRST_ENTRIES
        keys, values = np.empty(entries, np.int64), np.empty(entries, np.int32)
        self._used = _move(self._rows, self._keys, self._values, keys, values)
        self._keys, self._values = keys, values


@compiled
def _put(
    items: NDArray[np.int64],
    keys: NDArray[np.int64],
    values: NDArray[np.int64],
    first: int,
    rows: NDArray[np.int64],
    fresh: NDArray[np.bool_],
    all_keys: NDArray[np.int64],
    all_values: NDArray[np.int32],
    used: int,
) -> tuple[int, int]:
    """Put entries from `first` on into their rows; return how far it got before the arrays were full, and `used`."""
    for n in range(first, len(items)):
        item, key, value = items[n], keys[n], values[n]
        start, size, room = rows[item]
        at, end = _place(all_keys, start, start + size, key), start + size
        fresh[item] = False
        if at < end and all_keys[at] == key:
            if value != 0:
                all_values[at] = value
                continue
            rows[item, _SIZE] = size - 1
            _shift(all_keys, all_values, at + 1, end, -1)
        elif value != 0:
            if size == room:
                room = max(_FIRST_ROOM, 2 * size)
                if used + room > len(all_keys):
                    return n, used
                _shift(all_keys, all_values, start, end, used - start)
                at, end = at - start + used, used + size
                rows[item, _START], rows[item, _ROOM] = used, room
                used += room
            _shift(all_keys, all_values, at, end, 1)
            all_keys[at], all_values[at] = key, value
            rows[item, _SIZE] = size + 1
    return len(items), used


@compiled
def _place(keys: NDArray[np.int64], low: int, high: int, key: int) -> int:
    """Return where in the sorted slice from `low` to `high` the key is, or belongs."""
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _shift(keys: NDArray[np.int64], values: NDArray[np.int32], start: int, end: int, by: int) -> None:
    """Move the entries from `start` to `end` by so many places."""
    for i in range(end - 1, start - 1, -1) if by > 0 else range(start, end):
        keys[i + by], values[i + by] = keys[i], values[i]


@compiled
def _move(
    rows: NDArray[np.int64],
    keys: NDArray[np.int64],
    values: NDArray[np.int32],
    to_keys: NDArray[np.int64],
    to_values: NDArray[np.int32],
) -> int:
    """Copy every row, one behind the other; return how many entries that takes."""
    used = 0
    for item in range(len(rows)):
        start, size = rows[item, _START], rows[item, _SIZE]
        for i in range(size):
            to_keys[used + i], to_values[used + i] = keys[start + i], values[start + i]
        rows[item, _START] = used
        used += rows[item, _ROOM]
    return used


@compiled
def _strongest(
    keys: NDArray[np.int64],
    values: NDArray[np.int32],
    month: int,
    digest: NDArray[np.uint64],
    decay: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Sum a row over months and partitions; return its strongest items as `Pairs.neighbours` does."""
    others, forward, backward = np.empty(len(keys), np.int64), np.zeros(len(keys)), np.zeros(len(keys))
    last, found = -1, 0
    for n in range(len(keys)):
        other = keys[n] >> _OTHER_SHIFT
        if other != last:
            others[found] = last = other
            found += 1
        age = max(0, min(month - ((keys[n] >> _MONTH_SHIFT) & _MONTH_MASK), _MONTHS - 1))
        if keys[n] & _BACKWARD:
            backward[found - 1] += values[n] * decay[age]  # exact: integers below 2**53
        else:
            forward[found - 1] += values[n] * decay[age]
    if found > MAX_NEIGHBOURS:
        chosen = np.zeros(found, np.bool_)
        weights = FORWARD * forward[:found] + backward[:found]
        chosen[best(weights, digest[others[:found]], MAX_NEIGHBOURS)] = True
        found = 0
        for n in range(len(chosen)):
            if chosen[n]:
                others[found], forward[found], backward[found] = others[n], forward[n], backward[n]
                found += 1
    neighbours = np.empty((found, 4))
    for n in range(found):
        after, before = forward[n] / _DECAY_UNIT, backward[n] / _DECAY_UNIT
        neighbours[n, ITEM], neighbours[n, AFTER], neighbours[n, BEFORE] = others[n], after, before
        neighbours[n, DAMPED] = ((FORWARD * after + before) / FORWARD) ** DAMP
    return neighbours
