"""How much other items go with the items a request starts from: decayed co-visitation in both directions.

score(j) = sum over seeds i, r steps back, of g^r * (F_ij + beta * B_ij)^damp / ((n_i + 1)^a * (n_j + 1)^b),
with F and B the counts forwards and backwards, beta = 1 / `pairs.FORWARD`, and n the popularity. Item-to-item
collaborative filtering (Linden, Smith and York, "Amazon.com recommendations", 2003) with direction, distance and time.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled
from streams.retrieval.counters import Counters

SEED_DECAY = 0.8
SEED_POWER, ITEM_POWER = 0.3, 0.2
_UNIT = 1 << 16
"""What `popularity` counts one signal as."""


class Related(NamedTuple):
    """What goes with the seeds of a request.

    `items` (U,) are the different items found, `total` (U,) their scores and `leader` (U,) the seed that says most for
    each. The single contributions are `score` (M,) for the items at `place` (M,), those of seed s from `offsets`[s] to
    `offsets`[s + 1]; `offsets` (S + 1,). `forward` and `backward` (M,) are the counts that they were made of, and
    `popular` (S,) how popular the seeds are, in signals.
    """

    items: NDArray[np.int64]
    total: NDArray[np.float64]
    leader: NDArray[np.int64]
    place: NDArray[np.int32]
    score: NDArray[np.float64]
    offsets: NDArray[np.int64]
    forward: NDArray[np.float64]
    backward: NDArray[np.float64]
    popular: NDArray[np.float64]


_NOTHING, _NO_SCORES = np.empty(0, np.int64), np.empty(0)
_ALONE = Related(
    _NOTHING, _NO_SCORES, _NOTHING, np.empty(0, np.int32), _NO_SCORES, np.zeros(1, np.int64),
    _NO_SCORES, _NO_SCORES, _NO_SCORES,
)  # fmt: skip


def related(counters: Counters, seeds: NDArray[np.int64], slots: NDArray[np.int32]) -> Related:
    """Score what goes with `seeds` (S,), the most telling first.

    `slots` is scratch, shape (>= size of the catalogue,), all -1, and is left so.
    """
    rows = [counters.pairs.neighbours(seed) for seed in seeds.tolist()]
    if not rows:
        return _ALONE
    popular = counters.popularity.counts("popular", len(slots))
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row.items) for row in rows], out=offsets[1:])
    asked = popular[seeds] / _UNIT
    said = SEED_DECAY ** np.arange(len(rows)) / (asked + 1.0) ** SEED_POWER
    items = np.concatenate([row.items for row in rows])
    damped = np.concatenate([row.damped for row in rows])
    forward = np.concatenate([row.forward for row in rows])
    backward = np.concatenate([row.backward for row in rows])
    return Related(*_relate(items, damped, offsets, said, popular, slots), offsets, forward, backward, asked)


@compiled
def _relate(
    items: NDArray[np.int64],
    damped: NDArray[np.float64],
    offsets: NDArray[np.int64],
    said: NDArray[np.float64],
    popular: NDArray[np.int64],
    slots: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Return `items`, `total`, `leader`, `place` and `score` of `Related`."""
    size, found = len(items), 0
    unique, total = np.empty(size, np.int64), np.zeros(size)
    heard, best, leader = np.empty(size), np.zeros(size), np.empty(size, np.int64)
    place, score = np.empty(size, np.int32), np.empty(size)
    for seed in range(len(said)):
        for n in range(offsets[seed], offsets[seed + 1]):
            item = items[n]
            at = slots[item]
            if at < 0:
                at = slots[item] = found
                unique[at] = item
                heard[at] = 1.0 / (popular[item] / _UNIT + 1.0) ** ITEM_POWER
                found += 1
            place[n], score[n] = at, damped[n] * said[seed] * heard[at]
            total[at] += score[n]
            if score[n] >= best[at]:
                best[at], leader[at] = score[n], seed
    for at in range(found):
        slots[unique[at]] = -1
    return unique[:found], total[:found], leader[:found], place, score
