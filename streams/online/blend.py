"""How much the online model is listened to beside the ranker: found by prequential log-loss, never set by hand.

Each of WEIGHTS w is an expert: sigmoid((1 - w) * logit(ranker) + w * logit(online)), the first the ranker alone, the
last the online model alone. The blend is their mixture p = sum_w share_w * p_w; a record's mean log-loss over the n
items that were seen moves the shares, which begin as PRIOR:

    share_w <- (1 - SWITCH) * share_w * exp(-loss_w) / sum_v(share_v * exp(-loss_v)) + SWITCH * PRIOR_w

Bound. exp(-mean log-loss) is the geometric mean of functions that are linear in the shares, so it is concave in them,
and over any T records the blend's mean losses sum to at most those of expert w plus

    ln(1 / PRIOR_w) + T * ln(1 / (1 - SWITCH))

whatever the records are: 0.11 nats more than the ranker, 3.7 more than any other, and a hundred-thousandth a record.
When the best expert changes, each change adds ln(1 / (SWITCH * PRIOR_w)) at most (Vovk, COLT 1990; fixed share:
Herbster and Warmuth, Machine Learning 32, 1998). Shares that reach workers d records late: d + 1 times the first term.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams.online.terms import MOST_LOGIT

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the online model."""
PRIOR = (0.9, 0.025, 0.025, 0.025, 0.025)
"""The shares before any record: nearly the ranker's, so that the blend is never felt where there is little to learn."""
SWITCH = 1e-5
"""How fast an expert that was bad comes back: the larger, the more a change is expected."""
_WEIGHTS = np.array(WEIGHTS)


def mixed(shares: NDArray[np.float64], ranker: NDArray[np.float64], online: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the blended probabilities (K,) of logits (K,), by `shares` (W,), which sum to 1."""
    blended: NDArray[np.float64] = experts(ranker, online) @ shares
    return blended


def experts(ranker: NDArray[np.float64], online: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each expert says (K, W) of logits (K,)."""
    logits = np.outer(ranker, 1.0 - _WEIGHTS) + np.outer(online, _WEIGHTS)
    return sigmoid(logits)


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities of logits."""
    p: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(logits, -MOST_LOGIT, MOST_LOGIT)))
    return p


def moved(shares: Sequence[float], losses: Sequence[float]) -> tuple[float, ...]:
    """Return the shares after a record of which each expert's mean log-loss is given (nats)."""
    least = min(losses)
    weighted = [share * math.exp(least - loss) for share, loss in zip(shares, losses, strict=True)]
    total = sum(weighted)
    return tuple((1.0 - SWITCH) * one / total + SWITCH * own for one, own in zip(weighted, PRIOR, strict=True))
