"""How good ranked lists are against what came: per case, at k, binary relevance. Pure.

With r_i = 1 if the item at rank i is among the targets T, else 0, and h = sum_{i<=k} r_i:

    hit_rate = 1 if h > 0            precision = h / k            recall = h / |T|
    f1       = 2 * precision * recall / (precision + recall)
    ndcg     = sum_i r_i / log2(i + 1)  /  sum_{i <= min(k, |T|)} 1 / log2(i + 1)     (Jaervelin, Kekaelaeinen, 2002)
    mrr      = 1 / rank of the first hit, 0 without one                              (Voorhees, 1999)
    map      = sum_i r_i * (hits until i) / i  /  min(k, |T|)                        (Manning et al., 2008, 8.4)
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams.evaluation.base import Case

Values = NDArray[np.float64]
METRICS = ("hit_rate", "recall", "precision", "f1", "ndcg", "mrr", "map")


def relevance(rankings: Sequence[Sequence[str]], targets: Sequence[Sequence[str]], k: int) -> NDArray[np.bool_]:
    """Return whether the item at each of the first k ranks was a target, (N, k); an item counts where it comes first.

    A ranking may hold fewer than k items.
    """
    relevant = np.zeros((len(rankings), k), bool)
    for n, (ranking, wanted) in enumerate(zip(rankings, targets, strict=True)):
        left = set(wanted)
        for place, item in enumerate(ranking[:k]):
            if item in left:
                left.discard(item)
                relevant[n, place] = True
    return relevant


def measure(rankings: Sequence[Sequence[str]], cases: Sequence[Case], k: int) -> dict[str, Values]:
    """Return each of METRICS for N rankings of N cases, shape (N,), in [0, 1].

    >>> values = measure([["a", "x"]], [Case("u", 0, (), ("a", "b"))], 2)
    >>> {name: round(float(values[name][0]), 3) for name in ("hit_rate", "recall", "ndcg", "mrr", "map")}
    {'hit_rate': 1.0, 'recall': 0.5, 'ndcg': 0.613, 'mrr': 1.0, 'map': 0.5}
    """
    targets = [case.targets for case in cases]
    return from_relevance(relevance(rankings, targets, k), np.array([len(set(some)) for some in targets], np.int64))


def from_relevance(relevant: NDArray[np.bool_], targets: NDArray[np.int64]) -> dict[str, Values]:
    """Return each of METRICS from the relevance (N, k) at each rank and the number of targets (N,), at least 1."""
    k = relevant.shape[1]
    ranks = np.arange(1, k + 1)
    gains = 1.0 / np.log2(ranks + 1.0)
    possible = np.minimum(targets, k)
    hits = relevant.sum(axis=1)
    precision, recall = hits / k, hits / targets
    both = np.maximum(precision + recall, 1e-300)
    reached = np.cumsum(relevant * gains, axis=1)[:, -1]  # rank by rank, so that a perfect list gets 1 to the bit
    first = np.where(hits > 0, relevant.argmax(axis=1) + 1, np.inf)
    return {
        "hit_rate": (hits > 0).astype(np.float64),
        "recall": recall,
        "precision": precision,
        "f1": 2 * precision * recall / both,
        "ndcg": reached / np.cumsum(gains)[possible - 1],
        "mrr": 1.0 / first,
        "map": (relevant * relevant.cumsum(axis=1) / ranks).sum(axis=1) / possible,
    }
