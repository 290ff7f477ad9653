"""The one order of everything that is ranked: by score, ties by the items' digests, the same in every process.

A heap keeps the best so far, the worst of them on top (Williams, 1964); O(N log limit).
"""

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled


@compiled
def best(scores: NDArray[np.float64], digests: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """Return the places of the best `limit` of `scores` (N,), ties by `digests` (N,) ascending; in no useful order."""
    size = min(limit, len(scores))
    heap = np.arange(size)
    for top in range(size // 2 - 1, -1, -1):
        _sink(heap, top, size, scores, digests)
    for n in range(size, len(scores)):
        if size and _worse(heap[0], n, scores, digests):
            heap[0] = n
            _sink(heap, 0, size, scores, digests)
    return heap


@compiled
def best_first(scores: NDArray[np.float64], digests: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """Return the places of the best `limit` of `scores` (N,), the highest first, ties by `digests` (N,) ascending."""
    heap = best(scores, digests, limit)
    for end in range(len(heap) - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        _sink(heap, 0, end, scores, digests)
    return heap


@compiled
def _worse(a: int, b: int, scores: NDArray[np.float64], digests: NDArray[np.uint64]) -> bool:
    return bool(scores[a] < scores[b] or (scores[a] == scores[b] and digests[a] > digests[b]))


@compiled
def _sink(
    heap: NDArray[np.int64], place: int, size: int, scores: NDArray[np.float64], digests: NDArray[np.uint64]
) -> None:
    """Let the entry at `place` sink below those that are worse, within the first `size` of the heap."""
    entry = heap[place]
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size and _worse(heap[below + 1], heap[below], scores, digests):
            below += 1
        if not _worse(heap[below], entry, scores, digests):
            break
        heap[place] = heap[below]
        place = below
    heap[place] = entry
