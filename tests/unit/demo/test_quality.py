import math

import numpy as np
import pytest

from streams.demo.quality import Scores, lower_bound, mean, score

TOP = [f"i{n}" for n in range(1, 11)]


def test_the_whole_basket_on_top_is_perfect() -> None:
    assert score(TOP, {"i1", "i2", "i3"}, 10) == Scores(1.0, 1.0, 1.0)


def test_a_basket_larger_than_the_slate_can_be_ranked_perfectly_but_not_recalled() -> None:
    basket = {f"i{n}" for n in range(1, 21)}
    assert score(TOP, basket, 10) == pytest.approx((1.0, 0.5, 1.0))


def test_ndcg_by_hand() -> None:
    found = score(TOP, {"i2", "i5", "absent"}, 10)
    gain = 1 / math.log2(3) + 1 / math.log2(6)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found == pytest.approx((1.0, 2 / 3, gain / ideal))


def test_only_the_first_k_items_count() -> None:
    assert score(TOP, {"i4"}, 3) == Scores(0.0, 0.0, 0.0)


def test_a_missed_basket_and_an_empty_slate_score_nothing() -> None:
    assert score(TOP, {"absent"}, 10) == score([], {"i1"}, 10) == Scores(0.0, 0.0, 0.0)


def test_the_mean_is_taken_by_metric() -> None:
    assert mean([Scores(1.0, 0.5, 0.2), Scores(0.0, 0.1, 0.4)]) == pytest.approx((0.5, 0.3, 0.3))


def test_the_bound_of_a_clear_difference_is_positive_and_below_its_mean() -> None:
    differences = np.random.default_rng(3).normal(0.1, 0.2, 400)
    bound = lower_bound(differences, seed=1)
    standard_error = differences.std() / math.sqrt(len(differences))
    assert bound == pytest.approx(differences.mean() - 1.96 * standard_error, abs=0.003)
    assert 0 < bound < differences.mean()


def test_the_bound_of_no_difference_is_negative() -> None:
    differences = np.array([0.1, -0.1] * 50)
    assert lower_bound(differences, seed=1) < 0


def test_the_bound_is_the_same_for_the_same_seed() -> None:
    differences = np.random.default_rng(4).normal(0, 1, 50)
    assert lower_bound(differences, seed=7) == lower_bound(differences, seed=7)
    assert lower_bound(differences, seed=7) != lower_bound(differences, seed=8)
