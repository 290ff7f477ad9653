"""Evaluates a policy on a log: importance weights, a model of the reward, every estimate with its interval.

The model of the reward is fitted on the half of the users that it isn't used for: else it would have seen the rewards
that it corrects. Users are drawn together for the intervals (see `streams/evaluation/intervals.py`). An estimate to
which no reward came is none: the bootstrap of nothing but zeros would be sure of 0.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streams.errors import Misuse
from streams.evaluation.intervals import Interval, ratio_intervals
from streams.evaluation.offpolicy.estimators import ESTIMATORS, Rounds, Terms, down_to, slate_sums
from streams.evaluation.offpolicy.log import Log, Values, load
from streams.evaluation.offpolicy.policies import Applied, Logged, read_policy
from streams.evaluation.summary import DIGITS

PRIOR_REWARDS = 1.0
"""How many rewards an item must have more, or less, than others at its positions until half of that is believed."""
MOST_WEIGHT = 1e100
"""Beyond it the square of a weight would soon be no number."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`result` is what `--json` writes; `complaint` says why the estimates aren't to be trusted, if they aren't."""

    result: dict[str, Any]
    complaint: str | None


def evaluate(path: Path, config: Path, *, outcome: str = "click", seed: int = 1) -> Evaluation:
    """Estimate the value of the policy that `config` describes from the log `path`, in rewards per slate.

    Raises:
        Misuse: log or policy are wrong, or the log can't tell anything of the policy.
        BadModel: the policy's model can't be read.
    """
    policy = read_policy(config)
    log = load(path, outcome)
    if not isinstance(policy, Logged) and (log.propensities == 1).all():
        raise Misuse(
            f"{log.path}: nothing was explored, every propensity is 1: it tells only of the policy that made it"
        )
    rounds = _rounds(log, policy.apply(log, seed), seed)
    with np.errstate(over="ignore", invalid="ignore"):
        products = down_to(log.offsets, rounds.ratios)
    if not (products <= MOST_WEIGHT).all():
        raise Misuse(
            f"{log.path}: the least propensity, {log.propensities.min():g}, makes a weight beyond {MOST_WEIGHT:g}:"
            " nothing so unlikely is ever shown"
        )
    if not products.any():
        raise Misuse(f"{log.path}: no overlap: the policy of {config} never shows what this log shows")
    terms = {name: estimate(rounds) for name, estimate in ESTIMATORS.items()}
    weights = terms["ips"].weights
    terms["weight"] = Terms(weights, np.ones(len(weights)), weights)
    tops, bottoms = (np.array([getattr(one, side) for one in terms.values()]).T for side in ("top", "bottom"))
    sure = dict(zip(terms, ratio_intervals(tops, bottoms, log.users.tolist(), seed), strict=True))
    result = {
        "policy": type(policy).__struct_config__.tag,
        "outcome": outcome,
        "slates": len(log.users),
        "shown": len(log.items),
        "users": int(log.users.max()) + 1,
        "items": len(log.item_ids),
        "rewards": int(log.rewards.sum()),
        "seed": seed,
        "mean_weight": _rounded(sure["weight"]),
        "largest_weight": round(float(weights.max()), DIGITS),
        "estimates": {name: _estimate(terms[name], sure[name]) for name in ESTIMATORS},
    }
    return Evaluation(result, _complaint(sure["weight"]))


def _estimate(terms: Terms, sure: Interval) -> dict[str, Any]:
    found = _rounded(sure) if terms.top.any() else {"value": None, "interval": None}
    return found | {"effective_slates": round(terms.effective_size, 1)}


def _rounds(log: Log, applied: Applied, seed: int) -> Rounds:
    modelled, expected = np.zeros(len(log.items)), np.zeros(len(log.items))
    half = np.repeat(log.users % 2, np.diff(log.offsets))
    for fold in (0, 1):
        rewards = fitted(log, half != fold)
        modelled = np.where(half == fold, rewards[log.items, log.positions], modelled)
        expected = np.where(half == fold, applied.expected(rewards), expected)
    with np.errstate(divide="ignore", over="ignore"):
        chances = np.exp(slate_sums(log.offsets, np.log(applied.chances)))
        ratios = applied.chances / log.propensities
    return Rounds(
        offsets=log.offsets,
        ratios=ratios,
        rewards=log.rewards,
        modelled=modelled,
        expected=expected,
        chances=chances,
        draws=np.random.default_rng(seed).random(len(log.users)),
    )


def fitted(log: Log, used: np.ndarray[Any, np.dtype[np.bool_]]) -> Values:
    """Return the reward to expect of each item at each position, (items, positions), from the `used` (N,) of a log.

    The rate of the position, times how many more rewards the item had than its positions' rates say, shrunk to 1.
    """
    items, positions, rewards = log.items[used], log.positions[used], log.rewards[used]
    rates = np.bincount(positions, rewards, log.depth) / np.maximum(np.bincount(positions, minlength=log.depth), 1)
    had = np.bincount(items, rewards, len(log.item_ids))
    due = np.bincount(items, rates[positions], len(log.item_ids))
    lifts = (had + PRIOR_REWARDS) / (due + PRIOR_REWARDS)
    expected: Values = np.minimum(lifts[:, None] * rates, 1.0)
    return expected


def _rounded(one: Interval) -> dict[str, Any]:
    return {"value": round(one.mean, DIGITS), "interval": [round(one.low, DIGITS), round(one.high, DIGITS)]}


def _complaint(weight: Interval) -> str | None:
    """Return what is wrong with the overlap: the weights of a policy that shows only what the log can average to 1."""
    # Twice the interval: of sound logs one in twenty has its mean weight outside of it.
    if 2 * weight.low - weight.mean <= 1 <= 2 * weight.high - weight.mean:
        return None
    return (
        f"the mean weight is {weight.mean:.3f} (95 % {weight.low:.3f} to {weight.high:.3f}) and should be 1: the log"
        " can't show all that the policy shows, or its propensities are wrong; estimates are biased"
    )
