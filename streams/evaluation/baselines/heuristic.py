"""The best that counting alone reaches: directed, damped co-visitation, normalised by popularity, and the user's own.

    score(j) = sum over the last items i, r steps back, of g^r * (F_ij + beta * B_ij)^damp / ((n_i+1)^a * (n_j+1)^b)
               + bonus * sum over the user's baskets with j of 2^(-age / own half-life)

F and B weigh 1 / distance^p, within WINDOW places; with a half-life they decay, too. The parameters are fitted by
`fit_heuristic` on a log's own last part, never by its name.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines.counts import ItemCounts
from streams.evaluation.baselines.pairs import PairCounts
from streams.evaluation.baselines.scoring import score

WINDOW = 20
HISTORY = 20
_DAY_MS = 86_400_000.0
_MAX_EXPONENT = 900.0
"""Weights grow by 2^(age of the log / half-life); a half-life this many times shorter than the log would overflow."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Those of the formula; half-lives in days, 0 for none."""

    p: float = 0.5
    beta: float = 0.4
    a: float = 0.3
    b: float = 0.1
    g: float = 0.7
    damp: float = 1.0
    half_life_days: float = 0.0
    bonus: float = 0.0
    own_half_life_days: float = 0.0

    def as_json(self) -> dict[str, float]:
        """Return them by name."""
        return asdict(self)


class Heuristic:
    """See the module. `parameters` that shape no counts may be changed between two cases."""

    name = "heuristic"

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self._items = ItemCounts()
        self._pairs = PairCounts(WINDOW, parameters.p)
        self._own: dict[str, dict[int, float]] = {}
        self._last_basket: dict[str, tuple[str | None, set[int]]] = {}
        self._began_ms: int | None = None
        self._now_ms = 0
        self._scores = np.zeros(0)

    def learn(self, signal: Signal) -> None:
        """Count the item, its pairs, and that it is the user's own."""
        if self._began_ms is None:
            self._began_ms = signal.at_ms
        self._now_ms = max(self._now_ms, signal.at_ms)
        item, parameters = self._items.count(signal.item_id), self.parameters
        self._pairs.add(signal.user_id, item, self._grown(signal.at_ms, parameters.half_life_days))
        basket, held = self._last_basket.get(signal.user_id, (None, set()))
        if basket != signal.basket:
            held = set()
            self._last_basket[signal.user_id] = signal.basket, held
        if item not in held:
            held.add(item)
            own = self._own.setdefault(signal.user_id, {})
            own[item] = own.get(item, 0.0) + self._grown(signal.at_ms, parameters.own_half_life_days)

    def rank(self, case: Case, k: int) -> list[str]:
        """Return the best by the formula, filled up by popularity."""
        items, pairs, parameters = self._items, self._pairs, self.parameters
        if len(self._scores) < len(items.counts):
            self._scores = np.zeros(len(items.counts))
        latest = list(dict.fromkeys(reversed(case.history)))[:HISTORY]
        found = score(
            items.numbers(latest), pairs.heads, pairs.sizes, pairs.following, pairs.others,
            pairs.forward, pairs.backward, items.counts,
            1.0 / self._grown(self._now_ms, parameters.half_life_days), parameters.beta, parameters.damp,
            parameters.g, parameters.a, parameters.b, self._scores,
        )  # fmt: skip
        if parameters.bonus:
            found = np.concatenate((found, self._add_own(case)))
        return items.ranked(found, self._scores, case, k)

    def _add_own(self, case: Case) -> NDArray[np.int64]:
        """Add the bonus of the user's own items; return those that had no score before."""
        own = {} if case.fresh else dict(self._own.get(case.user_id, {}))
        now = self._grown(max(case.at_ms, self._now_ms), self.parameters.own_half_life_days)
        for item in case.history[len(case.history) - case.unlearned :]:
            number = self._items.index.get(item)
            if number is not None:
                own[number] = own.get(number, 0.0) + now
        fresh = [number for number in own if self._scores[number] == 0.0]
        for number, weight in own.items():
            self._scores[number] += self.parameters.bonus * weight / now
        return np.array(fresh, np.int64)

    def _grown(self, at_ms: int, half_life_days: float) -> float:
        """Return what a count at that time weighs beside one at the beginning."""
        if not half_life_days:
            return 1.0
        days = (at_ms - (self._began_ms or 0)) / _DAY_MS
        return math.exp2(min(days / half_life_days, _MAX_EXPONENT))
