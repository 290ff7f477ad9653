"""One formula for what goes with a history, of which co-occurrence and the heuristic are two settings.

score(j) = sum over the history's items i, r steps back, of g^r * (F_ij + beta * B_ij)^damp / ((n_i+1)^a * (n_j+1)^b)

F and B are the counts of `PairCounts`, n how often an item was met; an item never met, -1, is a step back, too.
`../retrieval/related.py` is the served form of it.
"""

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled
from streams.evaluation.baselines.pairs import NOTHING


@compiled
def score(
    history: NDArray[np.int64],
    heads: NDArray[np.int32],
    sizes: NDArray[np.int32],
    following: NDArray[np.int32],
    others: NDArray[np.int32],
    forward: NDArray[np.float64],
    backward: NDArray[np.float64],
    counts: NDArray[np.int64],
    scale: float,
    beta: float,
    damp: float,
    decay: float,
    seed_power: float,
    item_power: float,
    scores: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Add the score of every item that goes with `history` (N,), the latest first, to `scores`; return those items.

    `scores` is scratch of all zeros, one an item; the pairs are those of `PairCounts` in its first way, multiplied by
    `scale`.
    """
    touched = 0
    for i in history:
        if 0 <= i < len(sizes):
            touched += sizes[i]
    found, n = np.empty(touched, np.int64), 0
    step = 1.0
    for i in history:
        weight = step
        step *= decay
        if i < 0 or i >= len(heads):
            continue
        says = weight / (counts[i] + 1.0) ** seed_power
        entry = heads[i]
        while entry != NOTHING:
            pair = scale * (forward[entry, 0] + beta * backward[entry, 0])
            j = others[entry]
            entry = following[entry]
            if pair <= 0.0:
                continue
            if scores[j] == 0.0:
                found[n] = j
                n += 1
            strength = pair if damp == 1.0 else pair**damp
            scores[j] += says * strength / (counts[j] + 1.0) ** item_power
    return found[:n]


@compiled
def choose(
    found: NDArray[np.int64],
    scores: NDArray[np.float64],
    counts: NDArray[np.int64],
    keys: NDArray[np.uint64],
    masked: NDArray[np.int64],
    k: int,
) -> NDArray[np.int64]:
    """Return the `k` best of `found` (N,), not masked, ties by count, then by id; `scores` is all zeros afterwards."""
    for item in masked:
        if item >= 0:
            scores[item] = 0.0
    best, size = np.empty(k, np.int64), 0
    for j in found:
        if scores[j] == 0.0:
            continue
        at = size
        while at > 0 and _before(j, best[at - 1], scores, counts, keys):
            at -= 1
        if at >= k:
            continue
        size = min(size + 1, k)
        for n in range(size - 1, at, -1):
            best[n] = best[n - 1]
        best[at] = j
    for j in found:
        scores[j] = 0.0
    return best[:size]


@compiled
def _before(a: int, b: int, scores: NDArray[np.float64], counts: NDArray[np.int64], keys: NDArray[np.uint64]) -> bool:
    if scores[a] != scores[b]:
        return bool(scores[a] > scores[b])
    if counts[a] != counts[b]:
        return bool(counts[a] > counts[b])
    for word in range(keys.shape[1]):
        if keys[a, word] != keys[b, word]:
            return bool(keys[a, word] < keys[b, word])
    return False
