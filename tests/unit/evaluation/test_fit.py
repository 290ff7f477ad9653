"""The fit of the heuristic is deterministic, and finds what was planted."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines import Heuristic, Parameters, fit, fit_heuristic
from streams.evaluation.baselines.habits import Habits
from streams.evaluation.metrics import measure
from tests.unit.evaluation.logs import BEGAN_MS, DAY_MS, ITEMS, random_cases, random_log, sequence, taught

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


def test_the_fit_finds_that_popularity_is_not_to_be_held_against_items() -> None:
    """No start is without `b`: only the search gets there."""
    often = [signal for n in range(11) for signal in sequence(f"often{n}", "x", "common")]
    rarely = [signal for n in range(10) for signal in sequence(f"rarely{n}", "x", "rare")]
    log = [*often, *rarely, *sequence("fan", *["common"] * 50)]
    wanted = [Case("new", BEGAN_MS + 99 * DAY_MS, ("x",), ("common",))]
    fitted = fit_heuristic(lambda: log, wanted, 1, seed=1)
    assert fitted.b == 0.0
    assert ndcg(fitted, log, wanted) == 1.0 > ndcg(replace(fitted, b=0.1), log, wanted)


def test_the_fit_sees_cases_drawn_at_random_not_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MAX_CASES", 10)
    cases = [*comes_after(), *came_before(20)]
    assert fit_heuristic(lambda: THREE_BEFORE_TWO_AFTER, cases, 1, seed=1).beta == 1.0


def counted(ways: list[Parameters], log: list[Signal]) -> Habits:
    habits = Habits(ways, kept_as=np.float32)
    for signal in log:
        habits.learn(signal)
    return habits


def test_where_histories_have_many_neighbours_fewer_cases_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    log = random_log(5)
    cases, habits = random_cases(6, log, size=500), counted([Parameters()], log)
    neighbours = sum(map(habits.neighbours, cases))
    for bound in (0, neighbours // 10, neighbours):
        monkeypatch.setattr(fit, "MAX_NEIGHBOURS", bound)
        drawn = fit.drawn(cases, habits, np.random.default_rng(1))
        assert sum(map(habits.neighbours, drawn)) <= bound or len(drawn) == 1
        assert len(drawn) == pytest.approx(len(cases) * bound / neighbours, rel=0.3, abs=1)
    assert drawn == cases


CHANGES: tuple[dict[str, float], ...] = (
    {}, {"g": 0.5}, {"beta": 1.0, "damp": 0.65}, {"a": 0.8, "b": 0.5}, {"bonus": 0.1}, {"bonus": 1_000.0},
)  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_what_a_trial_reaches_is_what_the_policy_reaches(seed: int) -> None:
    log = random_log(seed)
    cases = [replace(one, targets=tuple(ITEMS[seed::5])) for one in random_cases(seed, log)]
    ways = [Parameters(), Parameters(p=1.0, half_life_days=20.0, own_half_life_days=12.0)]
    habits = counted(ways, log)
    for number, way in enumerate(ways):
        trial = fit.Trial(habits, number, way, cases, 5)
        for change in CHANGES:
            parameters = replace(way, **change)
            assert trial.ndcg(parameters) == pytest.approx(ndcg(parameters, log, cases, 5), abs=1e-9)


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
