"""How far two rankers agree about the candidates of one request. Pure.

Kendall's tau-b, Kendall (1945): (C - D) / sqrt((P - T_a)(P - T_b)) over all P pairs, C in the same order in both, D in
opposite order, T tied. Spearman's rho: Pearson's correlation of the ranks, ties sharing the mean of theirs.

>>> kendall(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])).round(3)
np.float64(0.333)
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

MEASURES: Final = ("kendall", "spearman", "drift", "drift_absolute")
"""The last two: how much higher the other ranker's scores are, on average, and how far apart."""


def agreement(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return MEASURES of two scores (K,) of the same candidates; None where one says the same of all."""
    if len(ours) < 2 or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return None
    apart = theirs - ours
    return np.array([kendall(ours, theirs), spearman(ours, theirs), apart.mean(), np.abs(apart).mean()])


def kendall(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> np.float64:
    """Return tau-b of two scores (K,), neither constant, in K^2 steps."""
    first, second = (np.sign(scores[:, None] - scores[None, :]) for scores in (ours, theirs))
    untied = np.sqrt(np.count_nonzero(first) * np.count_nonzero(second))
    return np.float64((first * second).sum() / untied)


def spearman(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> np.float64:
    """Return rho of two scores (K,), neither constant."""
    return np.float64(np.corrcoef(_ranks(ours), _ranks(theirs))[0, 1])


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks (K,) from 0, ties sharing the mean of theirs."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts + 1) / 2)[place]
    return ranks
