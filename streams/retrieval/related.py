"""How much other items go with the items a request starts from: decayed co-visitation in both directions.

score(j) = sum over seeds i, r steps back, of g^r * (F_ij + beta * B_ij)^damp / ((n_i + 1)^a * (n_j + 1)^b),
with F and B the counts forwards and backwards, beta = 1 / `pairs.FORWARD`, and n the popularity. Item-to-item
collaborative filtering (Linden, Smith and York, "Amazon.com recommendations", 2003) with direction, distance and time.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.retrieval.counters import Counters
from streams.retrieval.grouping import group

SEED_DECAY = 0.8
DAMP = 0.8
SEED_POWER, ITEM_POWER = 0.3, 0.2


class Related(NamedTuple):
    """What goes with the seeds of a request.

    `items` (U,) are the different items found and `total` (U,) their scores. The M single contributions are `score`,
    of the seed `seed` (0 to S - 1) for the item at `place` in `items`, each of shape (M,).
    """

    items: NDArray[np.int64]
    total: NDArray[np.float64]
    seed: NDArray[np.int64]
    place: NDArray[np.int64]
    score: NDArray[np.float64]


def related(counters: Counters, size: int, seeds: NDArray[np.int64]) -> Related:
    """Score what goes with `seeds` (S,), the most telling first; `size` is that of the catalogue."""
    rows = [counters.pairs.neighbours(seed) for seed in seeds.tolist()]
    if not rows:
        nothing = np.empty(0, np.int64)
        return Related(nothing, np.empty(0), nothing, nothing, np.empty(0))
    popular = counters.popularity.counts("popular", size)
    seed = np.repeat(np.arange(len(rows)), [len(row.items) for row in rows])
    items, place = group(np.concatenate([row.items for row in rows]))
    said = SEED_DECAY ** np.arange(len(rows)) / _baskets(popular[seeds]) ** SEED_POWER
    heard = 1.0 / _baskets(popular[items]) ** ITEM_POWER
    score = np.concatenate([row.weights for row in rows]) ** DAMP * said[seed] * heard[place]
    return Related(items, np.bincount(place, score, len(items)).astype(np.float64), seed, place, score)


def _baskets(popular: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bring decayed, weighted counts back to the size of counts, plus one."""
    return popular / (1 << 16) + 1.0
