"""The heuristic is its formula; its fit is deterministic, and finds what was planted."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines import Heuristic, Parameters, fit, fit_heuristic
from streams.evaluation.metrics import measure
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


RING = [f"ring-{n:02}" for n in range(30)]


def walks(step: int) -> list[Signal]:
    """Return walks around a ring, each of another user: from each item to the one `step` further."""
    return [
        signal
        for n in range(60)
        for signal in sequence(f"w{n}", *(RING[(n * 7 + step * place) % 30] for place in range(3)))
    ]


def onwards(step: int) -> list[Case]:
    """Return for each item of the ring a case that goes on to the one `step` further."""
    return [Case(f"c{n}", BEGAN_MS + 9 * DAY_MS, (item,), (RING[(n + step) % 30],)) for n, item in enumerate(RING)]


def ndcg(parameters: Parameters, log: Sequence[Signal], cases: Sequence[Case], k: int = 1) -> float:
    policy = taught(Heuristic(parameters), log)
    return float(measure([policy.rank(one, k) for one in cases], cases, k)["ndcg"].mean())


def test_the_fit_finds_that_order_matters() -> None:
    log = walks(1)
    fitted = fit_heuristic(lambda: log, onwards(1), 1, seed=1)
    assert fitted.beta < 1.0
    assert ndcg(fitted, log, onwards(1)) == 1.0 > ndcg(replace(fitted, beta=1.0), log, onwards(1))


def came_before(times: int = 1) -> list[Case]:
    return [Case(f"c{n}", BEGAN_MS + 9 * DAY_MS, (f"x{n}",), (f"before{n}",)) for n in range(10)] * times


def comes_after() -> list[Case]:
    return [replace(one, targets=(f"after{n}",)) for n, one in enumerate(came_before())]


THREE_BEFORE_TWO_AFTER = [
    signal
    for n in range(10)
    for user in range(5)
    for signal in sequence(f"{n}-{user}", *((f"before{n}", f"x{n}") if user < 3 else (f"x{n}", f"after{n}")))
]


def test_the_fit_finds_that_order_does_not_matter() -> None:
    log = THREE_BEFORE_TWO_AFTER
    assert fit_heuristic(lambda: log, came_before(), 1, seed=1).beta == 1.0
    assert fit_heuristic(lambda: log, comes_after(), 1, seed=1).beta < 1.0


def test_the_fit_sees_cases_drawn_at_random_not_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MAX_CASES", 10)
    cases = [*comes_after(), *came_before(20)]
    assert fit_heuristic(lambda: THREE_BEFORE_TWO_AFTER, cases, 1, seed=1).beta == 1.0


def test_the_fit_finds_that_users_come_back_to_their_own() -> None:
    own = [signal for n in range(20) for signal in sequence(f"o{n}", RING[n], RING[n], RING[n + 1])]
    again = [Case(f"o{n}", BEGAN_MS + 9 * DAY_MS, (RING[n], RING[n], RING[n + 1]), (RING[n],)) for n in range(20)]
    log = [*own, *sequence("v", *(RING[n + 2] for n in range(20) for _ in range(3)))]
    fitted = fit_heuristic(lambda: log, again, 1, seed=1)
    assert fitted.bonus > 0.0
    assert ndcg(fitted, log, again) > ndcg(replace(fitted, bonus=0.0), log, again)
    assert fit_heuristic(lambda: walks(1), onwards(1), 1, seed=1).bonus == 0.0


def test_the_fit_finds_that_tastes_change() -> None:
    late = walks(4)[: 2 * len(RING)]
    moved = [replace(one, at_ms=one.at_ms + 100 * DAY_MS, user_id=f"late-{one.user_id}") for one in late]
    log = [*walks(1), *moved]
    fitted = fit_heuristic(lambda: log, onwards(4), 1, seed=1)
    assert fitted.half_life_days > 0.0
    assert ndcg(fitted, log, onwards(4)) > ndcg(replace(fitted, half_life_days=0.0), log, onwards(4))


def test_the_fit_is_deterministic() -> None:
    log = random_log(3)
    cases = [replace(one, targets=(log[n].item_id,), given=()) for n, one in enumerate(random_cases(4, log))]
    assert fit_heuristic(lambda: iter(log), cases, 5, seed=1) == fit_heuristic(lambda: iter(log), cases, 5, seed=1)


def test_nothing_to_fit_on_gives_the_defaults() -> None:
    assert fit_heuristic(lambda: random_log(1), [], 5, seed=1) == Parameters()


def test_a_log_without_signals_or_span_is_fitted_too() -> None:
    assert isinstance(fit_heuristic(lambda: [], onwards(1), 1, seed=1), Parameters)
    at_once = [Signal("u", item, BEGAN_MS, "click", "b") for item in RING]
    assert ndcg(fit_heuristic(lambda: at_once, onwards(1), 1, seed=1), at_once, onwards(1)) > 0.9
