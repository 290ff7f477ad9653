"""The reference row is what its definition says: by hand, and against a slow reimplementation."""

import pytest

from streams.evaluation.base import Case
from streams.evaluation.baselines.cooccurrence import Cooccurrence
from tests.unit.evaluation import brute_force
from tests.unit.evaluation.logs import random_cases, random_log, sequence, taught


def case(*history: str, masked: tuple[str, ...] = ()) -> Case:
    return Case("new", 1, history, ("t",), frozenset(masked))


def test_pairs_within_three_places_add_one_by_their_distance_both_ways() -> None:
    policy = taught(Cooccurrence(), sequence("u", "a", "b", "c", "d", "e"))
    # d is next to c and e (1 each), two places from b (1/2), three from a (1/3).
    assert policy.rank(case("d"), 9) == ["c", "e", "b", "a", "d"]
    # a: b 1, c 1/2, d 1/3; e is four places away, so it only follows by popularity, after a itself.
    assert policy.rank(case("a"), 9) == ["b", "c", "d", "a", "e"]


def test_each_step_back_in_the_history_weighs_four_fifths() -> None:
    log = [*sequence("u", "x", "far"), *sequence("v", "y", "near")]
    policy = taught(Cooccurrence(), log)
    assert policy.rank(case("x", "y"), 2) == ["near", "far"]
    assert policy.rank(case("y", "x"), 2) == ["far", "near"]
    # Two older items that say `far` at 0.8 and 0.64 outweigh one that says `near`.
    both = taught(Cooccurrence(), [*log, *sequence("w", "z", "far")])
    assert both.rank(case("z", "x", "y"), 2) == ["far", "near"]


def test_an_item_that_nobody_met_is_a_step_back_too() -> None:
    log = [
        *sequence("u", "x", "far"),
        *sequence("v", "x", "far"),
        *sequence("w", "y", "near"),
        *sequence("z", "y", "n"),
    ]
    policy = taught(Cooccurrence(), [*log, *sequence("s", "y", "near")])
    # far: 2 * 0.8^r, near: 2. With r = 0 it would be a tie, which the count would decide for neither; r = 1 is less.
    assert policy.rank(case("y", "never-met", "x"), 2) == ["far", "near"]
    assert policy.rank(case("x", "never-met", "y"), 2) == ["near", "far"]
    # 2 * 0.8 (y, one step back) loses against 2, but 0.8^2 * 3 = 1.92 loses only if the stranger counts.
    more = taught(Cooccurrence(), [*log, *sequence("s", "y", "near"), *sequence("t", "y", "near")])
    assert more.rank(case("y", "x"), 1) == ["near"]
    assert more.rank(case("y", "never-met", "x"), 1) == ["far"]


def test_only_the_last_ten_of_the_history_count() -> None:
    policy = taught(Cooccurrence(), [*sequence("u", "old", "friend"), *sequence("v", "p", "p", "p")])
    assert policy.rank(case("old", *["p"] * 9), 1) == ["friend"]
    assert policy.rank(case("old", *["p"] * 10), 1) == ["p"]


def test_the_same_item_is_no_pair_of_itself() -> None:
    policy = taught(Cooccurrence(), [*sequence("u", "a", "a", "a", "b"), *sequence("v", "c", "c", "c", "c", "c")])
    assert policy.rank(case("a"), 9) == ["b", "c", "a"]


def test_ties_by_count_then_by_the_whole_id() -> None:
    log = [*sequence("u", "x", "item-number-2"), *sequence("v", "x", "item-number-1"), *sequence("w", "x", "popular")]
    policy = taught(Cooccurrence(), [*log, *sequence("z", "popular")])
    assert policy.rank(case("x"), 4) == ["popular", "item-number-1", "item-number-2", "x"]


def test_what_is_masked_still_says_what_goes_with_it() -> None:
    policy = taught(Cooccurrence(), sequence("u", "a", "b", "c"))
    assert policy.rank(case("a", "b", masked=("a", "b")), 9) == ["c"]


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_the_definition(seed: int) -> None:
    log = random_log(seed)
    policy = taught(Cooccurrence(), log)
    met = {signal.item_id for signal in log}
    for one in random_cases(seed, log):
        exact = brute_force.cooccurrence(log, one.history)
        ours = policy.rank(one, 100)
        allowed = met & set(one.given) if one.given else met
        best = brute_force.ranked(exact, log, one.masked | (met - allowed))
        assert [exact.get(item, 0.0) for item in ours if item in met] == pytest.approx([score for score, _ in best])


def test_other_users_signals_in_between_change_nothing() -> None:
    log = random_log(7)
    apart = sorted(log, key=lambda signal: signal.user_id)  # stable: each user's order stays
    one, other = taught(Cooccurrence(), log), taught(Cooccurrence(), apart)
    for case_ in random_cases(7, log):
        scores = brute_force.cooccurrence(log, case_.history)
        rankings = [[scores.get(item, 0.0) for item in policy.rank(case_, 100)] for policy in (one, other)]
        assert rankings[0] == pytest.approx(rankings[1])
