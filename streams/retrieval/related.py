"""How much other items go with the items a request starts from: decayed co-visitation in both directions.

score(j) = sum over seeds i, r steps back, of g^r * (F_ij + beta * B_ij)^damp / ((n_i + 1)^a * (n_j + 1)^b),
with F and B the counts forwards and backwards, beta = 1 / `pairs.FORWARD`, and n the popularity. Item-to-item
collaborative filtering (Linden, Smith and York, "Amazon.com recommendations", 2003) with direction, distance and time.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled
from streams.retrieval.counters import Counters
from streams.retrieval.pairs import DAMPED, ITEM

SEED_DECAY = 0.8
SEED_POWER, ITEM_POWER = 0.3, 0.2
_LOG_DECAY = math.log(SEED_DECAY)


class Related(NamedTuple):
    """What goes with the seeds of a request.

    `items` (U,) are the different items found, `total` (U,) their scores and `leader` (U,) the seed that says most for
    each. The single contributions are the `rows` (M, 4), as of `Pairs.neighbours`, for the items at `place` (M,), with
    `score` (M,); those of seed s are the next `sizes`[s] of them, `sizes` (S,).
    """

    items: NDArray[np.int64]
    total: NDArray[np.float64]
    leader: NDArray[np.int64]
    place: NDArray[np.int32]
    score: NDArray[np.float64]
    rows: NDArray[np.float64]
    sizes: NDArray[np.int64]


_NOTHING, _NO_SCORES = np.empty(0, np.int64), np.empty(0)
_ALONE = Related(
    _NOTHING, _NO_SCORES, _NOTHING, np.empty(0, np.int32), _NO_SCORES, np.empty((0, 4)), _NOTHING
)  # fmt: skip


def related(counters: Counters, seeds: NDArray[np.int64], slots: NDArray[np.int32]) -> Related:
    """Score what goes with `seeds` (S,), the most telling first.

    `slots` is scratch, shape (>= size of the catalogue,), all -1, and is left so.
    """
    found = [counters.pairs.neighbours(seed) for seed in seeds.tolist()]
    if not found:
        return _ALONE
    log_popular = counters.popularity.logs("popular", len(slots))
    rows, sizes = np.concatenate(found), np.array([len(some) for some in found])
    return Related(*_relate(rows, sizes, seeds, log_popular, slots), rows, sizes)


@compiled
def _relate(
    rows: NDArray[np.float64],
    sizes: NDArray[np.int64],
    seeds: NDArray[np.int64],
    log_popular: NDArray[np.float64],
    slots: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Return `items`, `total`, `leader`, `place` and `score` of `Related`."""
    size, found, end = len(rows), 0, 0
    unique, total = np.empty(size, np.int64), np.zeros(size)
    heard, best, leader = np.empty(size), np.zeros(size), np.empty(size, np.int64)
    place, score = np.empty(size, np.int32), np.empty(size)
    for seed in range(len(sizes)):
        said = math.exp(_LOG_DECAY * seed - SEED_POWER * log_popular[seeds[seed]])
        start, end = end, end + sizes[seed]
        for n in range(start, end):
            item = int(rows[n, ITEM])
            at = slots[item]
            if at < 0:
                at = slots[item] = found
                unique[at] = item
                heard[at] = math.exp(-ITEM_POWER * log_popular[item])
                found += 1
            place[n], score[n] = at, rows[n, DAMPED] * said * heard[at]
            total[at] += score[n]
            if score[n] >= best[at]:
                best[at], leader[at] = score[n], seed
    for at in range(found):
        slots[unique[at]] = -1
    return unique[:found], total[:found], leader[:found], place, score
