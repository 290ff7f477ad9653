"""How good a slate is against the basket that was then bought, and how sure a difference between two policies is.

Pure functions. Gains are binary, a basket is a set of different items, and every household counts the same however
many baskets it has.
"""

import math
from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000
_CHUNK = 100
"""Resamples drawn at a time, which bounds memory."""

Values = NDArray[np.float64]


class Scores(NamedTuple):
    """Of one slate, or a mean of many; each in [0, 1]."""

    hit_rate: float
    recall: float
    ndcg: float


def score(slate: Sequence[str], basket: Set[str], k: int) -> Scores:
    """Compare the first `k` items of a slate (all different) with the basket, which isn't empty.

    With r_i = 1 if the item at rank i was bought, else 0, and B the basket:

        hit_rate = max_i r_i;  recall = sum_i r_i / |B|
        ndcg = sum_i r_i / log2(i + 1)  /  sum_{i = 1..min(k, |B|)} 1 / log2(i + 1)

    (Jaervelin and Kekaelaeinen, TOIS 2002, binary gain).

    >>> score(["a", "x"], {"a", "b"}, 10)
    Scores(hit_rate=1.0, recall=0.5, ndcg=0.6131471927654584)
    """
    ranks = [rank for rank, item in enumerate(slate[:k], 1) if item in basket]
    ideal = _gain(range(1, min(k, len(basket)) + 1))
    return Scores(float(bool(ranks)), len(ranks) / len(basket), _gain(ranks) / ideal)


def mean(rows: Iterable[Scores]) -> Scores:
    """Return the mean of at least one row."""
    columns = np.array(list(rows), np.float64).mean(axis=0)  # (3,)
    return Scores(*columns.tolist())


def lower_bound(differences: Values, seed: int, resamples: int = RESAMPLES) -> float:
    """Return the lower end of the 95 % interval of the mean difference, by a paired bootstrap over households.

    `differences` (U,) holds one household's policy A minus policy B each. Households are drawn with replacement
    `resamples` times; the bound is the 2.5 % quantile of the means: above 0, A is better than B.
    (Efron and Tibshirani, 1993, chapter 13, percentile interval.)

    >>> lower_bound(np.array([0.5, 0.5, 0.5]), seed=1)
    0.5
    """
    generator = np.random.default_rng(seed)
    means: list[float] = []
    for start in range(0, resamples, _CHUNK):
        shape = (min(_CHUNK, resamples - start), len(differences))
        means += differences[generator.integers(0, len(differences), shape)].mean(axis=1).tolist()
    return float(np.quantile(means, 0.025))


def _gain(ranks: Iterable[int]) -> float:
    return sum(1.0 / math.log2(rank + 1) for rank in ranks)
