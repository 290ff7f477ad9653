"""How good ranked lists are against what was bought, and how sure that is."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from training.lists import TOP

Values = NDArray[np.float64]
METRICS = (f"recall@{TOP}", f"ndcg@{TOP}", f"hit@{TOP}")
RESAMPLES = 2_000
_GAINS = 1.0 / np.log2(np.arange(TOP) + 2.0)


def metrics(relevant: NDArray[np.bool_], targets: NDArray[np.int64]) -> dict[str, Values]:
    """Return each of METRICS for N lists, shape (N,), in [0, 1].

    `relevant` (N, TOP) tells whether the item at each rank was bought, `targets` (N,) how many different items were,
    at least 1. With r_i the relevance at rank i and n the targets:

        recall = sum_i r_i / n
        hit = 1 if any r_i
        NDCG = sum_i r_i / log2(i + 1) / sum_{i <= min(TOP, n)} 1 / log2(i + 1)

    (Jaervelin and Kekaelaeinen, TOIS 2002, binary relevance).

    >>> found = metrics(np.array([[True] + 9 * [False]]), np.array([2]))
    >>> [round(float(found[name][0]), 3) for name in METRICS]
    [0.5, 0.613, 1.0]
    """
    ideal = np.cumsum(_GAINS)[np.minimum(targets, TOP) - 1]
    values = (relevant.sum(axis=1) / targets, relevant @ _GAINS / ideal, relevant.any(axis=1).astype(np.float64))
    return dict(zip(METRICS, values, strict=True))


def by_user(values: Values, users: NDArray[np.int32]) -> Values:
    """Return the mean of the values (N,) of each user, in order of the users' numbers."""
    _, where = np.unique(users, return_inverse=True)
    means: Values = np.bincount(where, values) / np.bincount(where)
    return means


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def rounded(self) -> list[float]:
        """Return mean, low and high for a manifest."""
        return [round(self.mean, 4), round(self.low, 4), round(self.high, 4)]


def bootstrap(values: Values, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Return the mean of per-user values (U,) with its percentile interval over resampled users.

    Give it differences of two policies for a paired test (Efron and Tibshirani, 1993, chapter 13).

    >>> bootstrap(np.array([1.0, 1.0]), seed=1)
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    means = _weights(len(values), seed, resamples) @ values
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))


@lru_cache(maxsize=2)
def _weights(users: int, seed: int, resamples: int) -> Values:
    """Return how much each user weighs in each resample, (resamples, U); the same for all policies, so they pair."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(users, np.full(users, 1.0 / users), size=resamples) / users
