"""Rows of pair counts in one piece: for scoring the same histories again and again, by many parameters.

score(j) is that of `scoring.py`. What a pair adds to it, but for the steps back, is the same in every history, so it is
computed once for all rows, and again when parameters change that have a part in it. Then a row is read in order.
"""

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled
from streams.evaluation.baselines.pairs import NOTHING, PairCounts
from streams.evaluation.baselines.parameters import Parameters


class Rows:
    """The rows of some items in one way of counting; pairs counted later are not in them."""

    def __init__(
        self, pairs: PairCounts, way: int, scale: float, items: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        """`items` are different numbers, ascending; `counts` say of each item how often it was met."""
        self._items, self._counts = items, counts
        self._starts = np.concatenate(([0], np.cumsum(pairs.sizes[items], dtype=np.int64)))
        size = int(self._starts[-1])
        self._others, self._says = np.empty(size, np.int32), np.empty(size, np.float32)
        self._forward, self._backward = np.empty(size, np.float32), np.empty(size, np.float32)
        _copy(
            items, way, scale, self._starts, pairs.heads, pairs.following, pairs.others, pairs.forward, pairs.backward,
            self._others, self._forward, self._backward,
        )  # fmt: skip
        self._said: tuple[float, ...] = ()

    def prepare(self, parameters: Parameters) -> None:
        """Compute what each pair says by these parameters."""
        wanted = parameters.beta, parameters.damp, parameters.a, parameters.b
        if wanted != self._said:
            held_back = np.power(self._counts + 1.0, -parameters.b)
            weights = np.power(self._counts[self._items] + 1.0, -parameters.a)
            _say(
                weights, held_back, parameters.beta, parameters.damp,
                self._starts, self._others, self._forward, self._backward, self._says,
            )  # fmt: skip
            self._said = wanted

    def score(self, history: NDArray[np.int64], g: float, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """Add the score of every item that goes with `history` (N,), places of rows or -1; return those items.

        `scores` is scratch of all zeros, one an item.
        """
        return _score(history, g, self._starts, self._others, self._says, scores)


@compiled
def _copy(
    items: NDArray[np.int64],
    way: int,
    scale: float,
    starts: NDArray[np.int64],
    heads: NDArray[np.int32],
    following: NDArray[np.int32],
    others: NDArray[np.int32],
    forward: NDArray[np.floating],
    backward: NDArray[np.floating],
    to_others: NDArray[np.int32],
    to_forward: NDArray[np.float32],
    to_backward: NDArray[np.float32],
) -> None:
    for row in range(len(items)):
        entry, at = heads[items[row]], starts[row]
        while entry != NOTHING:
            to_others[at] = others[entry]
            to_forward[at] = scale * forward[entry, way]
            to_backward[at] = scale * backward[entry, way]
            entry = following[entry]
            at += 1


@compiled
def _say(
    weights: NDArray[np.float64],
    held_back: NDArray[np.float64],
    beta: float,
    damp: float,
    starts: NDArray[np.int64],
    others: NDArray[np.int32],
    forward: NDArray[np.float32],
    backward: NDArray[np.float32],
    says: NDArray[np.float32],
) -> None:
    for row in range(len(weights)):
        for at in range(starts[row], starts[row + 1]):
            pair = forward[at] + beta * backward[at]
            strength = pair if damp == 1.0 else pair**damp
            says[at] = weights[row] * strength * held_back[others[at]]


@compiled
def _score(
    history: NDArray[np.int64],
    g: float,
    starts: NDArray[np.int64],
    others: NDArray[np.int32],
    says: NDArray[np.float32],
    scores: NDArray[np.float64],
) -> NDArray[np.int64]:
    touched = 0
    for row in history:
        if row >= 0:
            touched += starts[row + 1] - starts[row]
    found, n = np.empty(touched, np.int64), 0
    step = 1.0
    for row in history:
        if row >= 0:
            for at in range(starts[row], starts[row + 1]):
                if says[at] > 0.0:
                    j = others[at]
                    if scores[j] == 0.0:
                        found[n] = j
                        n += 1
                    scores[j] += step * says[at]
        step *= g
    return found[:n]
