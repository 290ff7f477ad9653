"""Coverage, diversity, novelty and popularity bias, by hand and by their laws."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.evaluation.beyond import beyond

POPULARITY = {"a": 4, "b": 2, "c": 2, "d": 0}
CATEGORIES = {"a": "food", "b": "food", "c": "toys", "d": "books"}
rankings_drawn = st.lists(st.lists(st.sampled_from("abcdxy"), max_size=4, unique=True), max_size=6)


def test_by_hand() -> None:
    found = beyond([["a", "b", "c"], ["a", "c"]], POPULARITY, CATEGORIES, 3)
    assert found["coverage"] == 3 / 4
    assert found["novelty"] == pytest.approx((1 + 2 + 2 + 1 + 2) / 5)  # -log2 of 1/2 and of 1/4
    assert found["popularity_bias"] == pytest.approx((4 + 2 + 2 + 4 + 2) / 5 / 2)
    assert found["diversity"] == pytest.approx((2 / 3 + 1) / 2)


def test_only_the_first_k_are_shown() -> None:
    rankings = [["a", "b", "c"], ["a", "c"]]
    assert beyond(rankings, POPULARITY, CATEGORIES, 2) == beyond([["a", "b"], ["a", "c"]], POPULARITY, CATEGORIES, 9)


def test_an_item_without_signals_counts_as_half_a_signal() -> None:
    assert beyond([["d"]], POPULARITY, {}, 1)["novelty"] == pytest.approx(-math.log2(0.5 / 8))


def test_an_item_outside_the_catalogue_covers_nothing() -> None:
    assert beyond([["a", "stranger"]], POPULARITY, {}, 2)["coverage"] == 1 / 4


def test_only_lists_with_pairs_are_diverse_or_not() -> None:
    pair, alone = ["a", "c"], ["a"]
    assert beyond([pair, alone, []], POPULARITY, CATEGORIES, 3)["diversity"] == 1.0
    assert "diversity" not in beyond([alone], POPULARITY, CATEGORIES, 3)
    assert "diversity" not in beyond([pair], POPULARITY, {}, 3)
    assert beyond([["a", "unknown", "b", "c"]], POPULARITY, CATEGORIES, 4)["diversity"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("rankings", "popularity"), [([], POPULARITY), ([[]], POPULARITY), ([["a"]], {})])
def test_of_nothing_there_is_nothing_to_say(rankings: list[list[str]], popularity: dict[str, int]) -> None:
    assert beyond(rankings, popularity, CATEGORIES, 3) == {}


def test_a_catalogue_that_nobody_touched_has_no_bias() -> None:
    found = beyond([["a"]], {"a": 0, "b": 0}, {}, 1)
    assert found["popularity_bias"] == 0.0
    assert math.isfinite(found["novelty"])


def test_showing_the_whole_catalogue_has_no_bias() -> None:
    assert beyond([list(POPULARITY)], POPULARITY, {}, 4)["popularity_bias"] == pytest.approx(1.0)


@given(rankings_drawn, st.integers(1, 4), st.randoms())
def test_shares_are_shares_whatever_the_order(rankings: list[list[str]], k: int, random: Random) -> None:
    found = beyond(rankings, POPULARITY, CATEGORIES, k)
    assert all(0.0 <= found[name] <= 1.0 for name in ("coverage", "diversity") if name in found)
    assert all(math.isfinite(value) and value >= 0.0 for value in found.values())
    random.shuffle(rankings)
    assert beyond(rankings, POPULARITY, CATEGORIES, k) == pytest.approx(found)
