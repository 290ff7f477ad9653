"""The value of a policy, in rewards per slate, from slates that another policy showed: each estimate a ratio of sums.

With r the rewards, rho = pi(item | above) / propensity at each position, W the product of rho down to a position, V
that above it (1 at the top), q a model of the reward and E q its mean over what the policy would show there:

    ips    mean of W_last * sum r                                            Horvitz and Thompson, 1952
    snips  the same over the mean of W_last                                  Swaminathan and Joachims, NIPS 2015
    rips   mean of sum W r: what is below doesn't matter                     McInerney et al., KDD 2020
    iips   mean of sum rho r: each position by itself                        Li et al., KDD 2018
    dr     mean of sum V E q + W (r - q)                                     Dudik et al., 2014; Kiyohara et al., 2022
    switch the same, the second term only where W <= SWITCH_AT               Wang, Agarwal and Dudik, ICML 2017
    replay mean reward of the slates that the policy happens to draw, too    Li et al., WSDM 2011

With one position `ips`, `rips` and `iips` are one. If the log's policy can show whatever the policy can, `ips` is
unbiased and `snips` consistent; so are `rips` and `dr` if no reward depends on what is below, and `iips` if neither
rewards nor propensities depend on what is above, either. `replay` needs a log whose slates were equally likely.
`switch` trades bias for variance.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
SWITCH_AT = 10.0
"""A weight above which the model of the reward is trusted more than what was seen."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """N positions of B slates, each slate's from the top down; `offsets` (B + 1,) is where each begins.

    `ratios`, `rewards`, `modelled` (q) and `expected` (E q) are (N,). `chances` (B,) are the policy's of whole slates,
    `draws` (B,) numbers in [0, 1) that decide whether it draws it.
    """

    offsets: NDArray[np.int64]
    ratios: Values
    rewards: Values
    modelled: Values
    expected: Values
    chances: Values
    draws: Values


@dataclass(frozen=True, slots=True)
class Terms:
    """The estimate is the sum of `top` over that of `bottom`, both (B,); `weights` are those of the rewards in it."""

    top: Values
    bottom: Values
    weights: Values

    @property
    def value(self) -> float:
        """The estimate; 0 if nothing counts."""
        bottom = self.bottom.sum()
        return float(self.top.sum() / bottom) if bottom else 0.0

    @property
    def effective_size(self) -> float:
        """How many slates of weight 1 would be as sure (Kish, 1965): B (sum w)^2 / (n sum w^2), with n weights."""
        squares = float((self.weights**2).sum())
        share = float(self.weights.sum()) ** 2 / squares / len(self.weights) if squares else 0.0
        return share * len(self.top)


def down_to(offsets: NDArray[np.int64], ratios: Values) -> Values:
    """Return the products (N,) of the ratios from the top of their slate down to each position.

    >>> down_to(np.array([0, 2, 3]), np.array([2.0, 3.0, 5.0])).tolist()
    [2.0, 6.0, 5.0]
    """
    products, sizes = ratios.copy(), np.diff(offsets)
    for depth in range(1, int(sizes.max(initial=0))):
        rows = offsets[:-1][sizes > depth] + depth
        products[rows] *= products[rows - 1]
    return products


def slate_sums(offsets: NDArray[np.int64], values: Values) -> Values:
    """Return the sum of each slate's values (N,), shape (B,)."""
    sums: Values = np.add.reduceat(values, offsets[:-1])
    return sums


def ips(rounds: Rounds) -> Terms:
    """Inverse propensity scoring of whole slates."""
    weights = down_to(rounds.offsets, rounds.ratios)[rounds.offsets[1:] - 1]
    return Terms(weights * slate_sums(rounds.offsets, rounds.rewards), np.ones(len(weights)), weights)


def snips(rounds: Rounds) -> Terms:
    """Self-normalised inverse propensity scoring of whole slates."""
    plain = ips(rounds)
    return Terms(plain.top, plain.weights, plain.weights)


def rips(rounds: Rounds) -> Terms:
    """Reward-interaction inverse propensity scoring: people look from the top down (cascade)."""
    return _by_position(rounds, down_to(rounds.offsets, rounds.ratios))


def iips(rounds: Rounds) -> Terms:
    """Independent inverse propensity scoring: the item-position model."""
    return _by_position(rounds, rounds.ratios)


def dr(rounds: Rounds) -> Terms:
    """Doubly robust: right if either the propensities are or the model of the reward is."""
    return _corrected(rounds, np.inf)


def switch(rounds: Rounds, at: float = SWITCH_AT) -> Terms:
    """Doubly robust where the weight is at most `at`, the model alone elsewhere."""
    return _corrected(rounds, at)


def replay(rounds: Rounds) -> Terms:
    """The replay method: slates that the policy draws, too."""
    kept = (rounds.draws < rounds.chances).astype(np.float64)
    return Terms(kept * slate_sums(rounds.offsets, rounds.rewards), kept, kept)


ESTIMATORS: dict[str, Callable[[Rounds], Terms]] = {
    "replay": replay,
    "ips": ips,
    "snips": snips,
    "rips": rips,
    "iips": iips,
    "dr": dr,
    "switch": switch,
}
"""By the name in the results."""


def _by_position(rounds: Rounds, weights: Values) -> Terms:
    slates = len(rounds.offsets) - 1
    return Terms(slate_sums(rounds.offsets, weights * rounds.rewards), np.ones(slates), weights)


def _corrected(rounds: Rounds, at: float) -> Terms:
    weights = down_to(rounds.offsets, rounds.ratios)
    above = np.ones(len(weights))
    above[1:] = weights[:-1]
    above[rounds.offsets[:-1]] = 1.0
    used = np.where(weights <= at, weights, 0.0)
    values = above * rounds.expected + used * (rounds.rewards - rounds.modelled)
    return Terms(slate_sums(rounds.offsets, values), np.ones(len(rounds.offsets) - 1), used)
