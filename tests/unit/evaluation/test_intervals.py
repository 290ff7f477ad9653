"""Intervals hold the truth as often as they say, users are the unit, and the test of a difference is fair."""

import doctest
import itertools
import tracemalloc

import numpy as np
import pytest

import streams.evaluation.intervals
import streams.evaluation.metrics
from streams.evaluation.intervals import RESAMPLES, Interval, Paired, by_user, intervals, paired

USERS = [f"u{n}" for n in range(100)]


def interval(values: np.ndarray, users: list[str], seed: int = 1) -> Interval:
    return intervals({"x": values}, users, seed)["x"]


@pytest.mark.parametrize("module", [streams.evaluation.intervals, streams.evaluation.metrics])
def test_examples_in_docstrings_run(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed


def test_95_percent_of_intervals_hold_the_true_mean() -> None:
    rng = np.random.default_rng(11)
    found = [interval(rng.binomial(1, 0.3, 100).astype(float), USERS, seed) for seed in range(300)]
    held = np.mean([one.low <= 0.3 <= one.high for one in found])
    assert 0.91 <= held <= 0.98


def test_so_they_do_where_a_users_cases_are_alike() -> None:
    rng = np.random.default_rng(12)
    users = [user for user in USERS for _ in range(8)]
    found = []
    for seed in range(300):
        tastes = np.repeat(rng.normal(0.5, 1.0, 100), 8)  # one a user, so 800 cases tell no more than 100
        found.append(interval(tastes + rng.normal(0, 0.1, 800), users, seed))
    held = np.mean([one.low <= 0.5 <= one.high for one in found])
    assert 0.91 <= held <= 0.98


def test_the_width_is_the_standard_errors() -> None:
    values = np.random.default_rng(13).normal(size=100)
    found = interval(values, USERS)
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.15)


def test_repeating_every_case_of_its_user_tells_nothing_new() -> None:
    values = np.random.default_rng(14).normal(size=100)
    once, again = interval(values, USERS), interval(np.tile(values, 5), USERS * 5)
    assert (again.low, again.high) == pytest.approx((once.low, once.high))
    strangers = interval(np.tile(values, 5), [f"u{n}" for n in range(500)])
    assert strangers.high - strangers.low < 0.6 * (once.high - once.low)


def test_a_busy_users_cases_each_count() -> None:
    found = interval(np.array([1.0, 1.0, 1.0, 0.0]), ["busy", "busy", "busy", "rare"])
    assert (found.mean, found.low, found.high) == (0.75, 0.0, 1.0)


def test_by_user_each_counts_once() -> None:
    assert by_user(np.array([1.0, 0.0, 0.5]), np.array([7, 7, 9], np.int32)).tolist() == [0.5, 0.5]


def test_the_same_seed_is_the_same_interval() -> None:
    values = np.random.default_rng(15).normal(size=100)
    assert interval(values, USERS, seed=3) == interval(values, USERS, seed=3)
    assert interval(values, USERS, seed=3) != interval(values, USERS, seed=4)
    assert paired(values, -values, USERS, seed=3) == paired(values, -values, USERS, seed=3)


def test_metrics_share_their_resamples() -> None:
    values = np.random.default_rng(16).normal(size=100)
    found = intervals({"x": values, "twice": 2 * values}, USERS, 1)
    alone = interval(values, USERS)
    assert (found["x"].low, found["x"].high) == pytest.approx((alone.low, alone.high))
    assert (found["twice"].low, found["twice"].high) == pytest.approx((2 * found["x"].low, 2 * found["x"].high))


def test_memory_is_bounded_by_the_users_not_by_the_resamples() -> None:
    users = [f"u{n}" for n in range(5_000)]
    values = np.random.default_rng(17).normal(size=5_000)
    for compare in (lambda: interval(values, users), lambda: paired(values, -values, users, 1)):
        tracemalloc.start()
        compare()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 5_000 * RESAMPLES * 8 / 3


def test_equal_policies_differ_by_nothing_for_sure() -> None:
    values = np.random.default_rng(18).random(100)
    assert paired(values, values.copy(), USERS, seed=1) == Paired(0.0, 0.0, 0.0, 1.0)


def test_a_clear_difference_is_found() -> None:
    rng = np.random.default_rng(19)
    base = rng.random(100)
    found = paired(base + rng.normal(0.1, 0.05, 100), base, USERS, seed=1)
    assert found.difference == pytest.approx(0.1, abs=0.02)
    assert found.p_value == pytest.approx(1 / (RESAMPLES + 1))
    assert 0.05 < found.low < found.difference < found.high


def test_the_other_way_round_only_signs_change() -> None:
    rng = np.random.default_rng(20)
    a, b = rng.random((2, 100))
    one, other = paired(a, b, USERS, seed=1), paired(b, a, USERS, seed=1)
    assert (other.difference, other.low, other.high) == pytest.approx((-one.difference, -one.high, -one.low))
    assert one.p_value == other.p_value


def test_the_p_value_is_the_share_of_sign_flips_as_large() -> None:
    """By hand: all 2^8 ways to swap the two policies of eight users."""
    difference = np.array([0.5, 0.4, -0.3, 0.2, 0.2, -0.1, 0.3, 0.25])
    flipped = [abs(float(np.dot(signs, difference))) for signs in itertools.product((-1, 1), repeat=8)]
    exact = np.mean([total >= abs(difference.sum()) - 1e-9 for total in flipped])
    found = paired(difference, np.zeros(8), USERS[:8], seed=1).p_value
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / RESAMPLES))


@pytest.mark.parametrize("cases", [1, 6])
def test_5_percent_of_equally_good_policies_seem_to_differ(cases: int) -> None:
    """Also if one is better for some users, and the other for as many others, in all of their cases."""
    rng = np.random.default_rng(21 + cases)
    users = [user for user in USERS[:40] for _ in range(cases)]
    found = []
    for seed in range(300):
        leads = np.repeat(rng.normal(0, 1, 40), cases)
        found.append(paired(leads, np.zeros(40 * cases), users, seed).p_value)
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.09
    assert 0.4 <= np.mean(np.array(found) <= 0.5) <= 0.6
