"""The one order of everything that is ranked: by score, ties by the items' digests, the same in every process.

Quickselect (Hoare, "Algorithm 65: Find", 1961), then each place of what is kept by counting who comes before it;
O(N + limit ** 2). No branch depends on the scores: a processor can't foresee it, and waits longer than it calculates.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled

Number = TypeVar("Number", np.float64, np.uint64)


@compiled
def best(scores: NDArray[np.float64], digests: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """Return the places of the best `limit` of `scores` (N,), ties by `digests` (N,) ascending; in no useful order."""
    if limit >= len(scores):
        return np.arange(len(scores))
    if limit <= 0:
        return np.empty(0, np.int64)
    least = _highest(scores, limit)
    found = np.flatnonzero(scores >= least)
    if len(found) > limit:
        tied = found[scores[found] == least]
        last = _highest(~digests[tied], limit - (len(found) - len(tied)))
        found = found[(scores[found] > least) | (~digests[found] >= last)]
    return found[:limit]


@compiled
def best_first(scores: NDArray[np.float64], digests: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """Return the places of the best `limit` of `scores` (N,), the highest first, ties by `digests` (N,) ascending."""
    found = best(scores, digests, limit)
    score, digest, order = scores[found], digests[found], np.empty_like(found)
    for n in range(len(found)):
        before = tied = 0
        for m in range(len(found)):
            before += score[m] > score[n]
            tied += score[m] == score[n]
        if tied > 1:
            for m in range(len(found)):
                first = (digest[m] < digest[n]) | ((digest[m] == digest[n]) & (m < n))
                before += (score[m] == score[n]) & first
        order[before] = found[n]
    return order


@compiled
def _highest(numbers: NDArray[Number], nth: int) -> Number:
    """Return the `nth` highest, from 1 on, of `numbers` (N,)."""
    left, kept, size = numbers.copy(), np.empty_like(numbers), len(numbers)
    while True:
        a, b, c = left[0], left[size >> 1], left[size - 1]
        pivot: Number = max(min(a, b), min(max(a, b), c))
        above = below = 0
        for n in range(size):
            kept[above] = left[n]
            above += left[n] > pivot
        if nth > above:
            for n in range(size):
                kept[below] = left[n]
                below += left[n] < pivot
            if nth <= size - below:
                return pivot
            nth -= size - below
        size = below if below else above
        left, kept = kept, left
