"""The heuristic is its formula, against a slow reimplementation and by hand."""

from dataclasses import replace

import pytest

from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines import Heuristic, Parameters
from tests.unit.evaluation import brute_force
from tests.unit.evaluation.logs import BEGAN_MS, DAY_MS, random_cases, random_log, sequence, taught

PLAIN = Parameters(p=1.0, beta=0.0, a=0.0, b=0.0, g=0.5)
SETTINGS = {
    "default": Parameters(),
    "damped": Parameters(p=0.5, beta=0.25, a=0.3, b=0.1, g=0.6, damp=0.8),
    "decayed": Parameters(p=1.0, beta=0.6, a=0.8, b=0.4, half_life_days=25.0, damp=0.65),
    "own": Parameters(bonus=0.1),
    "own, decayed": Parameters(bonus=0.1, own_half_life_days=10.0, half_life_days=40.0),
    "own above all": Parameters(beta=1.0, bonus=1_000.0, own_half_life_days=30.0),
}


def case(*history: str, user: str = "new", at_ms: int = BEGAN_MS, unlearned: int = 0) -> Case:
    return Case(user, at_ms, history, ("t",), unlearned=unlearned)


@pytest.mark.parametrize("parameters", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_the_formula(seed: int, parameters: Parameters) -> None:
    log = random_log(seed)
    policy = taught(Heuristic(parameters), log)
    met = {signal.item_id for signal in log}
    for one in random_cases(seed, log):
        exact = brute_force.heuristic(log, one, parameters)
        ours = [item for item in policy.rank(one, 100) if item in met]
        others = met - set(one.given) if one.given else set()
        best = brute_force.ranked(exact, log, one.masked | others)
        assert [exact.get(item, 0.0) for item in ours] == pytest.approx([score for score, _ in best], rel=1e-9)


def test_with_beta_0_only_what_came_after_counts() -> None:
    log = [*sequence("u", "before", "x", "after"), *sequence("v", "popular", "popular", "popular")]
    directed = taught(Heuristic(PLAIN), log)
    assert directed.rank(case("x"), 4) == ["after", "popular", "before", "x"]
    both = taught(Heuristic(replace(PLAIN, beta=0.5)), log)
    assert both.rank(case("x"), 4) == ["after", "before", "popular", "x"]


def test_what_followed_at_once_counts_more_than_what_followed_later() -> None:
    policy = taught(Heuristic(PLAIN), sequence("u", "x", "next", "later"))
    assert policy.rank(case("x"), 2) == ["next", "later"]


def test_popular_items_are_held_back_by_b() -> None:
    log = [*sequence("u", "x", "rare"), *sequence("v", "x", "common"), *sequence("w", "common", "common")]
    assert taught(Heuristic(PLAIN), log).rank(case("x"), 1) == ["common"]  # a tie, by count
    assert taught(Heuristic(replace(PLAIN, b=0.1)), log).rank(case("x"), 1) == ["rare"]


def test_with_a_half_life_the_old_fades() -> None:
    old = [*sequence("u", "x", "old"), *sequence("v", "x", "old")]
    log = [*old, *sequence("w", "x", "fresh", began_ms=BEGAN_MS + 20 * DAY_MS)]
    assert taught(Heuristic(PLAIN), log).rank(case("x"), 1) == ["old"]
    assert taught(Heuristic(replace(PLAIN, half_life_days=30.0)), log).rank(case("x"), 1) == ["old"]
    assert taught(Heuristic(replace(PLAIN, half_life_days=10.0)), log).rank(case("x"), 1) == ["fresh"]


def test_a_half_life_far_below_the_logs_length_keeps_numbers_finite() -> None:
    log = [*sequence("u", "x", "old"), *sequence("w", "x", "fresh", began_ms=BEGAN_MS + 4_000 * DAY_MS)]
    tiny = replace(PLAIN, half_life_days=0.01, own_half_life_days=0.01, bonus=0.1)
    assert taught(Heuristic(tiny), log).rank(case("x"), 3) == ["fresh", "old", "x"]


def test_the_bonus_brings_back_the_users_own_items_by_baskets() -> None:
    basket = [Signal("u", item, BEGAN_MS, "purchase", "b1") for item in ("milk", "milk", "milk", "salt")]
    log = [*basket, Signal("u", "salt", BEGAN_MS, "purchase", "b2"), *sequence("v", *["wine"] * 6)]
    asked = case(user="u")
    assert taught(Heuristic(PLAIN), log).rank(asked, 3) == ["wine", "milk", "salt"]
    assert taught(Heuristic(replace(PLAIN, bonus=0.1)), log).rank(asked, 3) == ["salt", "milk", "wine"]


def test_a_history_that_nobody_learned_is_the_users_own() -> None:
    policy = taught(Heuristic(replace(PLAIN, bonus=1.0)), sequence("v", *["wine"] * 6, "salt"))
    assert policy.rank(case("salt", user="u", unlearned=1), 1) == ["salt"]
    assert policy.rank(case("salt", user="u", unlearned=0), 1) == ["wine"]


def test_parameters_that_shape_no_counts_may_change_between_two_cases() -> None:
    log = random_log(9)
    policy = Heuristic(Parameters())
    taught(policy, log)
    changed = Parameters(beta=1.0, a=0.8, b=0.5, g=0.9, damp=0.65, bonus=1.0)
    policy.parameters = changed
    fresh = taught(Heuristic(changed), log)
    assert all(policy.rank(one, 20) == fresh.rank(one, 20) for one in random_cases(9, log))
