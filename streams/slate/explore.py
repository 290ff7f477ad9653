"""Exploration: some slots of a slate are drawn instead of given to the best, so that what nobody saw gets its chance.

Each slot is explored with probability `share`, by itself. An explored slot draws among the candidates that are left, by
their weights (Plackett-Luce; Plackett, 1975); any other goes to the best of them by score. So with the items above it
given, an item comes to a slot with

    propensity = share * weight / (sum of the weights left) + (1 - share) * [it is the best left]
    weight     = (score + bonus * best score / sqrt(1 + evidence)) ** (1 / temperature)

which is above 0 for every candidate at every slot, sums to 1 over them, and is a slate's probability when multiplied
over its slots. Candidates come here filtered; a rule that looks at the items above takes away what it forbids before
the slot is filled, and is part of "left". All chance is a hash of the slate's id and the item's: repeats are identical.
"""

import math
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled
from streams.contracts.events import Request
from streams.ordering import best_first

_FLOOR = 1e-6
"""The least that a score counts, as a share of the best one: no candidate is impossible."""
_GAMMA, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)


@dataclass(frozen=True, slots=True)
class Exploration:
    """How much is explored, and for whom.

    `share` in [0, 1] is that of the slots, 0 is none. `temperature`: 1 draws in proportion to the score, less prefers
    the best, more evens out; below 0.05 weights would vanish in floating point. `bonus` is what a candidate without
    evidence may be worth, in scores of the slate's best. `off` holds kinds of requests and `key=value` pairs of their
    context for which nothing is explored.
    """

    share: float = 0.0
    temperature: float = 0.2
    bonus: float = 1.0
    off: frozenset[str] = frozenset()

    def covers(self, request: Request) -> bool:
        """Tell whether slots of this request's slate may be explored."""
        if not self.share or request.kind in self.off:
            return False
        return not any(f"{key}={value}" in self.off for key, value in (request.context or {}).items())


def explore(
    scores: NDArray[np.float64],
    evidence: NDArray[np.float64],
    digests: NDArray[np.uint64],
    k: int,
    exploration: Exploration,
    slate_id: str,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the places of up to `k` of K candidates in the order of the slate, and their propensities, (k,) each.

    `scores` (K,) are at least 0. `evidence` (K,) is how much is known of each candidate, see `select`. `digests` (K,)
    are those of the items.
    """
    seed = np.uint64(int.from_bytes(blake2b(slate_id.encode(), digest_size=8).digest(), "big"))
    weights = _weights(scores, evidence, exploration.temperature, exploration.bonus)
    greedy = best_first(scores, digests, k)
    places = _draw(weights, greedy, digests, k, exploration.share, seed)
    return places, _propensities(places, weights, greedy, exploration.share)


def alternatives(
    scores: NDArray[np.float64],
    evidence: NDArray[np.float64],
    digests: NDArray[np.uint64],
    exploration: Exploration,
) -> NDArray[np.float64]:
    """Return what else `explore` could have shown, (K, K): how likely, in slot m below the first m, each candidate is.

    The candidates come in the order in which they were shown, so the diagonal holds their own propensities.
    """
    weights = _weights(scores, evidence, exploration.temperature, exploration.bonus)
    greedy = best_first(scores, digests, len(scores))
    return _alternatives(weights, greedy, exploration.share)


@compiled
def _weights(
    scores: NDArray[np.float64], evidence: NDArray[np.float64], temperature: float, bonus: float
) -> NDArray[np.float64]:
    best = 0.0
    for score in scores:
        best = max(best, score)
    best = best or 1.0
    weights = np.empty(len(scores))
    for n in range(len(scores)):
        optimistic = max(scores[n] / best, _FLOOR) + bonus / math.sqrt(1.0 + evidence[n])
        weights[n] = (optimistic / (1.0 + bonus)) ** (1.0 / temperature)
    return weights


@compiled
def _draw(
    weights: NDArray[np.float64],
    greedy: NDArray[np.int64],
    digests: NDArray[np.uint64],
    k: int,
    share: float,
    seed: np.uint64,
) -> NDArray[np.int64]:
    """Fill the slots. Sorting by log(u) / weight is drawing one after the other (Efraimidis and Spirakis, 2006)."""
    clocks = np.empty(len(weights))
    for n in range(len(weights)):
        clocks[n] = math.log(_uniform(seed ^ digests[n])) / weights[n]
    drawn = best_first(clocks, digests, k)
    taken = np.zeros(len(weights), np.bool_)
    places = np.empty(len(greedy), np.int64)
    next_best = next_drawn = 0
    for slot in range(len(places)):
        while taken[greedy[next_best]]:
            next_best += 1
        while taken[drawn[next_drawn]]:
            next_drawn += 1
        explored = _uniform(~seed + np.uint64(slot)) < share
        places[slot] = drawn[next_drawn] if explored else greedy[next_best]
        taken[places[slot]] = True
    return places


@compiled
def _propensities(
    places: NDArray[np.int64], weights: NDArray[np.float64], greedy: NDArray[np.int64], share: float
) -> NDArray[np.float64]:
    taken = np.zeros(len(weights), np.bool_)
    found = np.empty(len(places))
    next_best = 0
    for slot in range(len(places)):
        while taken[greedy[next_best]]:
            next_best += 1
        left = 0.0  # summed anew: to subtract what was taken would leave nothing but rounding behind a heavy one
        for n in range(len(weights)):
            if not taken[n]:
                left += weights[n]
        place = places[slot]
        found[slot] = share * (weights[place] / left)
        if place == greedy[next_best]:
            found[slot] += 1.0 - share
        taken[place] = True
    return found


@compiled
def _alternatives(weights: NDArray[np.float64], greedy: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    found = np.zeros((len(weights), len(weights)))
    next_best = 0
    for slot in range(len(weights)):
        while greedy[next_best] < slot:
            next_best += 1
        left = weights[slot:].sum()
        for place in range(slot, len(weights)):
            found[slot, place] = share * (weights[place] / left)
        found[slot, greedy[next_best]] += 1.0 - share
    return found


@compiled
def _uniform(word: np.uint64) -> float:
    """Return a number in (0, 1) that looks drawn: SplitMix64 (Steele, Lea and Flood, 2014)."""
    mixed = word + _GAMMA
    mixed = (mixed ^ (mixed >> _S30)) * _MIX_1
    mixed = (mixed ^ (mixed >> _S27)) * _MIX_2
    mixed ^= mixed >> _S31
    return (float(mixed >> _S11) + 0.5) / 9007199254740992.0
