"""The click model: River's logistic regression over `terms`, whose numbers can be taken out and put back, to the bit.

Two of them are learned from the same records: CALIBRATED corrects what the ranker says, ALONE does without it, for
when no ranker answers. Before any record the first says what the ranker says, and the second what the blend of the
candidate sources says.
"""

import math

import numpy as np
from numpy.typing import NDArray
from river import linear_model, optim

from streams.online import terms
from streams.online.snapshot import Linear

FIRST_STEP, STEP = 0.05, 0.01
"""The size of a gradient step, at first and in the long run: the world moves, so the model never settles."""
_FIRST_STEPS = 1_000


class _Steps(optim.base.Scheduler):
    """From FIRST_STEP down to STEP, as one over the root of the steps that were made."""

    def get(self, t: int) -> float:
        return max(STEP, FIRST_STEP / math.sqrt(1.0 + t / _FIRST_STEPS))


class ClickModel(linear_model.LogisticRegression):
    """Learns by `learn_one(row, clicked)`; see `terms` for rows."""

    def __init__(self, numbers: Linear) -> None:
        super().__init__(optim.SGD(_Steps()), intercept_lr=_Steps(), intercept_init=numbers.intercept)
        self.optimizer.n_iterations = numbers.steps
        for column, weight in enumerate(np.frombuffer(numbers.weights, np.float64).tolist()):
            self._weights[column] = weight

    def logit_one(self, row: terms.Row) -> float:
        """Return the log-odds of a click."""
        return float(self._raw_dot_one(row))

    def weight(self, column: int) -> float:
        """Return one weight."""
        return float(self._weights[column])

    def numbers(self) -> Linear:
        """Return all that the model learned."""
        weights = np.array([self._weights[column] for column in range(terms.WIDTH)], np.float64)
        return Linear(weights.tobytes(), float(self.intercept), self.optimizer.n_iterations)


def calibrated() -> Linear:
    """Return a model that says what the ranker says, times what an item's residual says."""
    weights = _nothing()
    weights[terms.LOGITS] = terms.SPREAD
    weights[terms.ITEM] = 1.0
    return Linear(weights.tobytes(), terms.CENTRE)


def alone() -> Linear:
    """Return a model that puts items in the order of the blend, times what their residual says."""
    weights = _nothing()
    weights[terms.FEATURE] = weights[terms.ITEM] = 1.0
    return Linear(weights.tobytes(), terms.CENTRE)


def _nothing() -> NDArray[np.float64]:
    return np.zeros(terms.WIDTH)
