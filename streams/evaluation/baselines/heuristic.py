"""The best that counting alone reaches: directed, damped co-visitation, normalised by popularity, and the user's own.

    score(j) = sum over the last items i, r steps back, of g^r * (F_ij + beta * B_ij)^damp / ((n_i+1)^a * (n_j+1)^b)
               + bonus * sum over the user's baskets with j of 2^(-age / own half-life)

F and B weigh 1 / distance^p, within WINDOW places; with a half-life they decay, too. The parameters are fitted by
`fit_heuristic` on a log's own last part, never by its name.
"""

import numpy as np
from numpy.typing import NDArray

from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines.habits import Habits
from streams.evaluation.baselines.parameters import Parameters
from streams.evaluation.baselines.scoring import score


class Heuristic:
    """See the module. `parameters` that shape no counts may be changed between two cases."""

    name = "heuristic"

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self._habits = Habits([parameters])
        self._scores = np.zeros(0)

    def learn(self, signal: Signal) -> None:
        """Count the item, its pairs, and that it is the user's own."""
        self._habits.learn(signal)

    def rank(self, case: Case, k: int) -> list[str]:
        """Return the best by the formula, filled up by popularity."""
        habits, parameters = self._habits, self.parameters
        items, pairs = habits.items, habits.pairs
        if len(self._scores) < len(items.counts):
            self._scores = np.zeros(len(items.counts))
        found = score(
            habits.history(case), pairs.heads, pairs.sizes, pairs.following, pairs.others,
            pairs.forward, pairs.backward, items.counts,
            habits.scale(parameters.half_life_days), parameters.beta, parameters.damp,
            parameters.g, parameters.a, parameters.b, self._scores,
        )  # fmt: skip
        if parameters.bonus:
            own = habits.own(case, parameters.own_half_life_days)
            found = with_own(found, *own, parameters.bonus, self._scores)
        return items.ranked(found, self._scores, case, k)


def with_own(
    found: NDArray[np.int64],
    own: NDArray[np.int64],
    baskets: NDArray[np.float64],
    bonus: float,
    scores: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Add the bonus of the user's own items to `scores`; return `found` with those that had no score before."""
    fresh = own[scores[own] == 0.0]
    scores[own] += bonus * baskets
    return np.concatenate((found, fresh))
