"""Items of the user's own: bought before (decayed), then looked at and not bought."""

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled
from streams.features import touch as t
from streams.ordering import best_first
from streams.retrieval.base import NOTHING, Asked, Found

LIMIT = 200
_TOUCH_VALUE = 0.05
"""What an item that was only looked at is worth beside one basket."""


class Repeat:
    """Score: baskets decayed to now (half-life 60 days), plus a little for every other touch."""

    name = "repeat"
    kinds = frozenset({"for_you"})
    weight = 3.0

    def find(self, asked: Asked) -> Found:
        """Return the user's items, the likeliest to be wanted again first."""
        items, touches = asked.history.items, asked.history.touches
        if not len(items):
            return NOTHING
        digests = asked.catalogue.digest[items]
        best = _likeliest(touches.rate, touches.touches, touches.last_min, t.minutes(asked.at_ms), digests)
        return Found.of(items[best])


@compiled
def _likeliest(
    rate: NDArray[np.float64],
    touches: NDArray[np.int64],
    last_min: NDArray[np.int64],
    now_min: int,
    digests: NDArray[np.uint64],
) -> NDArray[np.int64]:
    """Return the places of the best LIMIT of a user's items, arrays of shape (N,)."""
    score = np.empty(len(rate))
    for n in range(len(rate)):
        age_min = max(0, now_min - last_min[n])
        score[n] = (rate[n] + _TOUCH_VALUE * touches[n]) * 0.5 ** (age_min / t.RATE_HALF_LIFE_MIN)
    return best_first(score, digests, LIMIT)
