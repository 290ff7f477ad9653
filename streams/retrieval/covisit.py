"""What others went on to after the items this user touched last: decayed, directed co-visitation.

score(j) = sum over seeds i, r steps back, of g^r * (F_ij + beta * B_ij)^damp / ((n_i + 1)^a * (n_j + 1)^b),
with F and B the counts forwards and backwards and n the popularity. Item-to-item collaborative filtering as in
Linden, Smith and York, "Amazon.com recommendations", 2003, with direction, distance and time.
"""

import numpy as np
from numpy.typing import NDArray

from streams.retrieval.base import NOTHING, Asked, Found
from streams.retrieval.counters import Counters

BACKWARD = 0.5
"""beta: what a pair in the other order counts."""
SEED_DECAY = 0.8
DAMP = 0.8
SEED_POWER, ITEM_POWER = 0.3, 0.2
LIMIT = 200


def pair_scores(
    counters: Counters, size: int, seeds: NDArray[np.int64]
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return for each seed the items that go with it (N,) and their scores (N,), seed decay applied.

    `size` is that of the catalogue.
    """
    popular = counters.popularity.counts("popular", size)
    scores = []
    for back, seed in enumerate(seeds.tolist()):
        after, before = counters.after.neighbours(seed), counters.before.neighbours(seed)
        items, where = np.unique(np.concatenate((after.items, before.items)), return_inverse=True)
        counts = np.bincount(where, np.concatenate((after.weights, BACKWARD * before.weights)), len(items))
        norm = (_baskets(popular[seed]) ** SEED_POWER) * (_baskets(popular[items]) ** ITEM_POWER)
        scores.append((items, SEED_DECAY**back * counts**DAMP / norm))
    return scores


def _baskets(popular: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bring decayed, weighted counts back to the size of counts, plus one."""
    return popular / (1 << 16) + 1.0


class Covisit:
    """Candidates that go with the seeds; each remembers the seed that spoke for it most."""

    name = "covisit"
    kinds = frozenset({"for_you", "similar", "bundle"})
    weight = 2.0

    def find(self, asked: Asked) -> Found:
        """Return what goes with the seeds, best first."""
        scores = asked.pair_scores
        if not scores:
            return NOTHING
        items = np.concatenate([of_seed for of_seed, _ in scores])
        each = np.concatenate([score for _, score in scores])
        seeds = np.repeat(asked.seeds, [len(of_seed) for of_seed, _ in scores])
        unique, where = np.unique(items, return_inverse=True)
        total = np.bincount(where, each, len(unique))
        best = np.lexsort((asked.catalogue.digest[unique], -total))[:LIMIT]
        strongest = np.zeros(len(unique), np.int64)
        by_strength = np.argsort(each, kind="stable")
        strongest[where[by_strength]] = seeds[by_strength]  # the last write, of the strongest seed, stays
        return Found(unique[best], strongest[best])
