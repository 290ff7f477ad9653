"""The one order of everything that is ranked: by score, ties by the items' digests, the same in every process.

Quickselect, then quicksort of what is kept (Hoare, "Algorithm 65: Find" and "Algorithm 64: Quicksort", 1961), with the
median of three as pivot and insertion sort for short runs; O(N + limit log limit).
"""

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled

_SHORT = 12
"""Places of a run that insertion sort takes."""
_STACK = 64
"""Runs that may wait to be sorted: the shorter half goes first, so 2**_STACK scores would fit."""


@compiled
def best(scores: NDArray[np.float64], digests: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """Return the places of the best `limit` of `scores` (N,), ties by `digests` (N,) ascending; in no useful order."""
    order = np.arange(len(scores))
    if limit <= 0:
        return order[:0]
    low, high = 0, len(scores) - 1
    while limit <= high and high - low > _SHORT:
        left, right = _split(order, low, high, scores, digests)
        if limit - 1 <= left:
            high = left
        elif limit - 1 >= right:
            low = right
        else:
            return order[:limit]
    if limit <= high:
        _insert(order, low, high, scores, digests)
    return order[:limit]


@compiled
def best_first(scores: NDArray[np.float64], digests: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """Return the places of the best `limit` of `scores` (N,), the highest first, ties by `digests` (N,) ascending."""
    order = best(scores, digests, limit)
    waiting = np.empty((_STACK, 2), np.int64)
    waiting[0, 0], waiting[0, 1] = 0, len(order) - 1
    size = 1
    while size:
        size -= 1
        low, high = waiting[size]
        while high - low > _SHORT:
            left, right = _split(order, low, high, scores, digests)
            if left - low > high - right:
                waiting[size, 0], waiting[size, 1] = low, left
                low = right
            else:
                waiting[size, 0], waiting[size, 1] = right, high
                high = left
            size += 1
        _insert(order, low, high, scores, digests)
    return order


@compiled
def _before(a: int, b: int, scores: NDArray[np.float64], digests: NDArray[np.uint64]) -> bool:
    return bool(scores[a] > scores[b] or (scores[a] == scores[b] and digests[a] < digests[b]))


@compiled
def _split(
    order: NDArray[np.int64], low: int, high: int, scores: NDArray[np.float64], digests: NDArray[np.uint64]
) -> tuple[int, int]:
    """Part the run into what comes before a pivot and what comes after; return where the one ends, the other begins."""
    middle = (low + high) >> 1
    for a, b in ((low, middle), (low, high), (middle, high)):
        if _before(order[b], order[a], scores, digests):
            order[a], order[b] = order[b], order[a]
    pivot = order[middle]
    while low <= high:
        while _before(order[low], pivot, scores, digests):
            low += 1
        while _before(pivot, order[high], scores, digests):
            high -= 1
        if low <= high:
            order[low], order[high] = order[high], order[low]
            low, high = low + 1, high - 1
    return high, low


@compiled
def _insert(
    order: NDArray[np.int64], low: int, high: int, scores: NDArray[np.float64], digests: NDArray[np.uint64]
) -> None:
    """Sort a short run."""
    for at in range(low + 1, high + 1):
        entry, place = order[at], at
        while place > low and _before(entry, order[place - 1], scores, digests):
            order[place] = order[place - 1]
            place -= 1
        order[place] = entry
