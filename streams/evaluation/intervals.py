"""How sure a mean, or a difference of two policies, is: users are the unit, so a user's cases are drawn together.

Percentile bootstrap (Efron and Tibshirani, 1993, chapters 13 and 16) and a sign-flip test by user (Fisher, 1935;
Smucker, Allan and Carterette, CIKM 2007, on which test to use for rankings). Deterministic by seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
RESAMPLES = 1_000
_CHUNK = 50
"""Resamples drawn at a time, which bounds memory."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """A mean difference with its 95 % interval, and the probability of one as large if there were none."""

    difference: float
    low: float
    high: float
    p_value: float


def intervals(values: dict[str, Values], users: Sequence[str], seed: int) -> dict[str, Interval]:
    """Return the mean over N cases of each of `values` (N,), with its interval; `users` (N,) own the cases.

    >>> intervals({"hit": np.array([1.0, 1.0])}, ["a", "b"], seed=1)["hit"]
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    names = list(values)
    sums, sizes = _by_user(np.array([values[name] for name in names]).T, users)
    means = np.concatenate([(w @ sums) / (w @ sizes)[:, None] for w in _draws(len(sizes), seed)])  # (R, M)
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    return {name: Interval(float(values[name].mean()), float(low[i]), float(high[i])) for i, name in enumerate(names)}


def paired(a: Values, b: Values, users: Sequence[str], seed: int) -> Paired:
    """Compare two policies on the same N cases: the mean of `a - b`, its interval and its two-sided p-value.

    >>> paired(np.ones(3), np.ones(3), ["a", "b", "c"], seed=1)
    Paired(difference=0.0, low=0.0, high=0.0, p_value=1.0)
    """
    sums, sizes = _by_user((a - b)[:, None], users)
    means = np.concatenate([(w @ sums)[:, 0] / (w @ sizes) for w in _draws(len(sizes), seed)])  # (R,)
    low, high = np.quantile(means, (0.025, 0.975))
    observed = abs(float(sums.sum()))
    generator = np.random.default_rng(seed + 1)
    as_large = 0
    for _ in range(RESAMPLES // _CHUNK):
        signs = generator.integers(0, 2, (_CHUNK, len(sizes)), np.int8) * 2.0 - 1.0
        as_large += int((np.abs(signs @ sums[:, 0]) >= observed - 1e-12).sum())
    p_value = (as_large + 1) / (RESAMPLES + 1)
    return Paired(float((a - b).mean()), float(low), float(high), min(1.0, p_value))


def ratio_intervals(tops: Values, bottoms: Values, users: Sequence[int], seed: int) -> list[Interval]:
    """Return each of M ratios of sums over N cases, with its interval; `tops` and `bottoms` are (N, M).

    A ratio without a denominator is 0. `users` (N,) own the cases.

    >>> ratio_intervals(np.array([[1.0], [1.0]]), np.array([[2.0], [2.0]]), [0, 1], seed=1)
    [Interval(mean=0.5, low=0.5, high=0.5)]
    """
    sums, _ = _by_user(np.hstack((tops, bottoms)), users)
    count = tops.shape[1]
    drawn = np.concatenate([w @ sums for w in _draws(len(sums), seed)])  # (R, 2 M)
    low, high = np.quantile(_ratios(drawn[:, :count], drawn[:, count:]), (0.025, 0.975), axis=0)
    means = _ratios(tops.sum(axis=0), bottoms.sum(axis=0))
    return [Interval(*map(float, row)) for row in zip(means, low, high, strict=True)]


def _ratios(tops: Values, bottoms: Values) -> Values:
    return np.divide(tops, bottoms, out=np.zeros_like(tops), where=bottoms != 0)


def by_user(values: Values, users: Sequence[str] | NDArray[np.int32]) -> Values:
    """Return the mean of the values (N,) of each user, (U,), in order of the users.

    >>> by_user(np.array([1.0, 0.0, 0.5]), ["b", "b", "a"]).tolist()
    [0.5, 0.5]
    """
    _, where = np.unique(users, return_inverse=True)
    means: Values = np.bincount(where, values) / np.bincount(where)
    return means


def _by_user(values: Values, users: Sequence[str] | Sequence[int]) -> tuple[Values, Values]:
    """Sum (N, M) over each user's cases: (U, M), and the number of cases (U,)."""
    numbers: dict[str | int, int] = {}
    where = np.array([numbers.setdefault(user, len(numbers)) for user in users])
    sums = np.zeros((len(numbers), values.shape[1]))
    np.add.at(sums, where, values)
    return sums, np.bincount(where, minlength=len(numbers)).astype(np.float64)


def _draws(users: int, seed: int) -> Iterator[Values]:
    """Yield how often each user is drawn in each resample, in chunks (_CHUNK, U)."""
    generator = np.random.default_rng(seed)
    for _ in range(RESAMPLES // _CHUNK):
        drawn = generator.integers(0, users, (_CHUNK, users))
        yield np.array([np.bincount(row, minlength=users) for row in drawn], np.float64)
