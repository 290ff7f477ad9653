"""Items of the user's own: bought before (decayed), then looked at and not bought."""

import numpy as np

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
        age = np.maximum(0, t.minutes(asked.at_ms) - touches.last_min)
        score = (touches.rate + _TOUCH_VALUE * touches.touches) * 0.5 ** (age / t.RATE_HALF_LIFE_MIN)
        return Found.of(items[best_first(score, asked.catalogue.digest[items], LIMIT)])
