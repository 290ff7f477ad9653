"""What the heuristic counts: items, pairs, and what is each user's own; in one way, or in several at once.

Counting is what costs on a log with long histories, and most of that is finding the pairs: ways share it.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines.counts import ItemCounts
from streams.evaluation.baselines.pairs import PairCounts
from streams.evaluation.baselines.parameters import Parameters

WINDOW = 20
HISTORY = 20
_DAY_MS = 86_400_000.0
_MAX_EXPONENT = 900.0
"""Weights grow by 2^(age of the log / half-life); a half-life this many times shorter than the log would overflow."""

_Own = dict[str, dict[int, float]]


class Habits:
    """See the module; a way of counting is the parameters that shape counts, all others have no part in it."""

    def __init__(self, ways: Sequence[Parameters], kept_as: DTypeLike = np.float64) -> None:
        """Counts of pairs are `kept_as` that type."""
        self.items = ItemCounts()
        self.pairs = PairCounts(WINDOW, [way.p for way in ways], kept_as)
        self._half_lives = [way.half_life_days for way in ways]
        self._own: dict[float, _Own] = {way.own_half_life_days: {} for way in ways}
        self._last_basket: dict[str, tuple[str | None, set[int]]] = {}
        self._began_ms: int | None = None
        self._now_ms = 0

    def learn(self, signal: Signal) -> None:
        """Count the item, its pairs, and that it is the user's own."""
        if self._began_ms is None:
            self._began_ms = signal.at_ms
        self._now_ms = max(self._now_ms, signal.at_ms)
        item, user = self.items.count(signal.item_id), signal.user_id
        self.pairs.add(user, item, [self._grown(signal.at_ms, half_life) for half_life in self._half_lives])
        basket, held = self._last_basket.get(user, (None, set()))
        if basket != signal.basket:
            held = set()
            self._last_basket[user] = signal.basket, held
        if item not in held:
            held.add(item)
            for half_life, of_users in self._own.items():
                own = of_users.setdefault(user, {})
                own[item] = own.get(item, 0.0) + self._grown(signal.at_ms, half_life)

    def scale(self, half_life_days: float) -> float:
        """Return what decayed counts of pairs must be multiplied by, as of the latest signal."""
        return 1.0 / self._grown(self._now_ms, half_life_days)

    def history(self, case: Case) -> NDArray[np.int64]:
        """Return the numbers of the latest different items of a case, (N,), the latest first; -1 was never met."""
        return self.items.numbers(list(dict.fromkeys(reversed(case.history)))[:HISTORY])

    def neighbours(self, case: Case) -> int:
        """Return how many neighbours the history of a case has: what its items' rows hold together."""
        history = self.history(case)
        return int(self.pairs.sizes[history[history >= 0]].sum())

    def own(self, case: Case, half_life_days: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the user's own items by number, and the baskets of each, decayed: both (N,)."""
        known = self._own[half_life_days]
        own = {} if case.fresh else dict(known.get(case.user_id, {}))
        now = self._grown(max(case.at_ms, self._now_ms), half_life_days)
        for item in case.history[len(case.history) - case.unlearned :]:
            number = self.items.index.get(item)
            if number is not None:
                own[number] = own.get(number, 0.0) + now
        baskets = np.fromiter(own.values(), np.float64, len(own)) / now
        return np.fromiter(own, np.int64, len(own)), baskets

    def _grown(self, at_ms: int, half_life_days: float) -> float:
        """Return what a count at that time weighs beside one at the beginning."""
        if not half_life_days:
            return 1.0
        days = (at_ms - (self._began_ms or 0)) / _DAY_MS
        return math.exp2(min(days / half_life_days, _MAX_EXPONENT))
