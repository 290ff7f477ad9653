"""A verdict needs both interval and test, and says what could have been found."""

import doctest

import numpy as np
import pytest

import streams.evaluation.verdict
from streams.evaluation.intervals import Paired, paired
from streams.evaluation.verdict import decide


def b_is(low: float, high: float, p_value: float) -> str:
    return str(decide("ndcg", Paired((low + high) / 2, low, high, p_value), 0.5)["b_is"])


def test_the_example_in_the_docstring_runs() -> None:
    result = doctest.testmod(streams.evaluation.verdict)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    ("low", "high", "p_value", "expected"),
    [
        (0.01, 0.03, 0.001, "better"),
        (-0.03, -0.01, 0.001, "worse"),
        (0.01, 0.03, 0.05, "none"),  # the test doesn't agree
        (-0.03, -0.01, 0.2, "none"),
        (-0.001, 0.03, 0.001, "none"),  # the interval doesn't
        (0.0, 0.03, 0.001, "none"),
        (-0.03, 0.0, 0.001, "none"),
        (0.0, 0.0, 1.0, "none"),
    ],
)
def test_interval_and_test_must_agree(low: float, high: float, p_value: float, expected: str) -> None:
    assert b_is(low, high, p_value) == expected


def test_it_says_what_could_have_been_found() -> None:
    verdict = decide("mrr", Paired(0.001, -0.01, 0.014, 0.8), 0.5)
    assert verdict["detectable"] == pytest.approx(0.012)
    assert verdict["sentence"].endswith("p = 0.800; one below about 0.0120 would hardly show on this log")


@pytest.mark.parametrize(
    ("other_slates", "said"),
    [(0.0, "A and B show the same slates"), (0.1, "ndcg is the same for every user, though some slates differ")],
)
def test_where_nothing_differs_no_bound_is_made_up(other_slates: float, said: str) -> None:
    sentence = decide("ndcg", Paired(0.0, 0.0, 0.0, 1.0), other_slates)["sentence"]
    assert sentence == f"no difference found: {said}"


def test_three_users_are_not_enough_however_much_better_b_is() -> None:
    a, b = np.zeros(3), np.array([0.9, 1.0, 0.8])
    found = paired(b, a, ["u", "v", "w"], seed=1)
    assert found.low > 0
    assert decide("ndcg", found, 1.0)["b_is"] == "none"


def test_5_percent_of_equally_good_configurations_at_most_seem_to_differ() -> None:
    users = [f"u{n}" for n in range(60)]
    rng = np.random.default_rng(5)
    wrong = [
        decide("ndcg", paired(rng.random(60), rng.random(60), users, seed), 1.0)["b_is"] != "none"
        for seed in range(300)
    ]
    assert np.mean(wrong) <= 0.08


def test_a_difference_as_large_as_detectable_is_found_about_every_other_time() -> None:
    users = [f"u{n}" for n in range(200)]
    rng = np.random.default_rng(6)
    noise = rng.normal(0, 0.1, (200, 200))
    size = decide("ndcg", paired(noise[0], np.zeros(200), users, 1), 1.0)["detectable"]
    found = [decide("ndcg", paired(row + size, np.zeros(200), users, n), 1.0)["b_is"] for n, row in enumerate(noise)]
    assert 0.35 <= found.count("better") / len(found) <= 0.65
