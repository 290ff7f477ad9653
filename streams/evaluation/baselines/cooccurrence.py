"""Co-occurrence: what lay near the latest items in others' sequences. The reference row of session recommenders.

C[i, j] = C[j, i] = sum over users' sequences of 1 / d for every two different items at distance d <= 3;
score(j) = sum over the last 10 items i of the history, r steps back, of 0.8^r * C[i, j]; ties by count, then by id.
Items without any score follow by popularity, so the whole catalogue is ranked.
"""

import numpy as np

from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines.counts import ItemCounts
from streams.evaluation.baselines.pairs import PairCounts
from streams.evaluation.baselines.scoring import score

WINDOW, POWER = 3, 1.0
HISTORY, DECAY = 10, 0.8


class Cooccurrence:
    """See the module."""

    name = "cooccurrence"

    def __init__(self) -> None:
        self._items = ItemCounts()
        self._pairs = PairCounts(WINDOW, [POWER])
        self._scores = np.zeros(0)

    def learn(self, signal: Signal) -> None:
        """Count the item beside the user's last three."""
        self._pairs.add(signal.user_id, self._items.count(signal.item_id), [1.0])

    def rank(self, case: Case, k: int) -> list[str]:
        """Return what goes with the last ten items."""
        items, pairs = self._items, self._pairs
        if len(self._scores) < len(items.counts):
            self._scores = np.zeros(len(items.counts))
        latest = items.numbers(list(case.history[-HISTORY:])[::-1])
        found = score(
            latest, pairs.heads, pairs.sizes, pairs.following, pairs.others,
            pairs.forward, pairs.backward, items.counts,
            1.0, 1.0, 1.0, DECAY, 0.0, 0.0, self._scores,
        )  # fmt: skip
        return items.ranked(found, self._scores, case, k)
