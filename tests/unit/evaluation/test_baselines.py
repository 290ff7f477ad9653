"""The laws of a policy, of every baseline there is; and the two that count items alone, by hand."""

from collections import Counter
from collections.abc import Callable

import pytest

from streams.evaluation.base import Case, Policy, Signal
from streams.evaluation.baselines import Parameters, baselines
from streams.evaluation.baselines.most_frequent import MostFrequent
from streams.evaluation.baselines.popular import Popular
from tests.unit.evaluation.logs import DAY_MS, ITEMS, random_cases, random_log, sequence, taught

LOG = random_log(1)
SETTINGS = {
    "": Parameters(),
    "-decayed": Parameters(half_life_days=30, own_half_life_days=20, bonus=0.1, damp=0.8),
    "-own": Parameters(bonus=1_000.0),
}
MAKE: dict[str, Callable[[], Policy]] = {
    f"{policy.name}{ending}": lambda place=place, parameters=parameters: baselines(parameters)[place]
    for ending, parameters in SETTINGS.items()
    for place, policy in enumerate(baselines(parameters))
    if policy.name == "heuristic" or not ending
}
every = pytest.mark.parametrize("make", list(MAKE.values()), ids=list(MAKE))


def case(user: str = "u0", *history: str, masked: tuple[str, ...] = (), unlearned: int = 0) -> Case:
    return Case(user, LOG[-1].at_ms, history, ("t",), frozenset(masked), unlearned)


def test_each_baseline_has_a_row_of_its_own() -> None:
    assert [policy.name for policy in baselines(Parameters())] == [
        "popular",
        "most_frequent",
        "cooccurrence",
        "heuristic",
    ]


@every
@pytest.mark.parametrize("k", [1, 5, 100])
def test_as_many_different_items_as_there_are_none_of_them_masked(make: Callable[[], Policy], k: int) -> None:
    policy = taught(make(), LOG)
    met = {signal.item_id for signal in LOG}
    for one in random_cases(2, LOG):
        ranking = policy.rank(one, k)
        own = set(one.history) if policy.name == "most_frequent" else set()
        allowed = (set(one.given) or met | own) - one.masked
        assert len(set(ranking)) == len(ranking)
        assert set(ranking) <= allowed
        assert min(k, len(allowed & met)) <= len(ranking) <= k


@every
def test_before_anything_was_learned_there_is_nothing_to_rank(make: Callable[[], Policy]) -> None:
    assert make().rank(case("u0"), 5) == []
    assert make().rank(Case("u0", 1, ("x",), ("t",)), 5) == []


@every
def test_the_best_of_a_longer_list_is_the_shorter_list(make: Callable[[], Policy]) -> None:
    policy = taught(make(), LOG)
    for one in random_cases(3, LOG):
        whole = policy.rank(one, 100)
        assert [policy.rank(one, k) for k in (0, 1, 4, 9)] == [whole[:k] for k in (0, 1, 4, 9)]


@every
def test_given_items_are_ranked_as_they_would_be_among_all(make: Callable[[], Policy]) -> None:
    policy = taught(make(), LOG)
    for one in random_cases(4, LOG):
        free = Case(one.user_id, one.at_ms, one.history, one.targets, one.masked, one.unlearned)
        given = Case(one.user_id, one.at_ms, one.history, one.targets, one.masked, one.unlearned, ITEMS[3:12])
        assert policy.rank(given, 100) == [item for item in policy.rank(free, 100) if item in given.given]


@every
def test_ranking_teaches_nothing(make: Callable[[], Policy]) -> None:
    asked, unasked = make(), make()
    for n, signal in enumerate(LOG):
        asked.learn(signal)
        unasked.learn(signal)
        if n % 10 == 0:
            for one in random_cases(n, LOG[: n + 1], 2):
                assert asked.rank(one, 8) == asked.rank(one, 8)
    for one in random_cases(5, LOG):
        assert asked.rank(one, 100) == unasked.rank(one, 100)


@every
def test_what_was_masked_once_comes_back(make: Callable[[], Policy]) -> None:
    policy = taught(make(), LOG)
    before = policy.rank(case("u0", *ITEMS[:5]), 100)
    policy.rank(case("u0", *ITEMS[:5], masked=tuple(before[:7])), 100)
    assert policy.rank(case("u0", *ITEMS[:5]), 100) == before


@every
def test_what_is_masked_leaves_the_order_of_the_others(make: Callable[[], Policy]) -> None:
    policy = taught(make(), LOG)
    free = policy.rank(case("u0", *ITEMS[:5]), 100)
    masked = tuple(free[::2])
    assert policy.rank(case("u0", *ITEMS[:5], masked=masked), 100) == free[1::2]


@every
def test_a_catalogue_may_outgrow_all_arrays(make: Callable[[], Policy]) -> None:
    items = [f"{n}" for n in range(3_000)]
    policy = taught(make(), [*LOG, *sequence("late", *items)])
    ranking = policy.rank(case("late", *items), 4_000)
    assert sorted(ranking) == sorted({*items, *(signal.item_id for signal in LOG)})


def by_popularity(log: list[Signal]) -> list[str]:
    counts = Counter(signal.item_id for signal in log)
    return sorted(counts, key=lambda item: (-counts[item], item))


def test_popular_counts_ties_by_id() -> None:
    policy = taught(Popular(), sequence("u", "item-number-b", "item-number-a", "c", "c", "é", "a-very-long-item-id"))
    assert policy.rank(case(), 9) == ["c", "a-very-long-item-id", "item-number-a", "item-number-b", "é"]
    policy.learn(Signal("v", "é", 1, "view", "b"))
    assert policy.rank(case("v", "c"), 2) == ["c", "é"]
    assert policy.rank(case(masked=("c",)), 2) == ["é", "a-very-long-item-id"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_popular_is_right_at_every_moment(seed: int) -> None:
    policy, log = Popular(), random_log(seed)
    for n, signal in enumerate(log, 1):
        policy.learn(signal)
        k = n % 7 + 1
        assert (
            policy.rank(case(masked=("item-number-00",)), k)
            == [item for item in by_popularity(log[:n]) if item != "item-number-00"][:k]
        )


def test_most_frequent_counts_baskets_ties_by_the_latest_then_fills_up() -> None:
    def line(item: str, basket: str, user: str = "u0") -> Signal:
        return Signal(user, item, 1, "purchase", basket)

    log = [
        *(line("milk", "b1"), line("milk", "b1"), line("milk", "b1")),  # one basket
        *(line("bread", "b1"), line("bread", "b2")),
        line("salt", "b2"),
        *(line("wine", f"o{n}", "another") for n in range(9)),
    ]
    policy = taught(MostFrequent(), log)
    assert policy.rank(case("u0", "milk", "bread", "salt"), 9) == ["bread", "salt", "milk", "wine"]
    assert policy.rank(case("u0", "milk", "bread", "salt", masked=("salt",)), 2) == ["bread", "milk"]
    assert policy.rank(case("nobody"), 1) == ["wine"]


def test_a_history_that_nobody_learned_counts_for_most_frequent_and_is_the_latest() -> None:
    policy = taught(MostFrequent(), sequence("u0", "a", "b"))
    assert policy.rank(case("u0", "a", "b", "a", "new", unlearned=2), 5) == ["a", "new", "b"]
    for fresh in "cdefghijkl":
        assert policy.rank(case("u0", "a", "b", fresh, unlearned=1), 5) == [fresh, "b", "a"]
    assert policy.rank(case("u0", "a", "b"), 5) == ["b", "a"]
    assert policy.rank(case("nobody"), 5) == ["a", "b"], "an item that was only asked about is in no catalogue"


def test_a_basket_may_have_an_empty_name() -> None:
    often = [Signal("u0", "a", DAY_MS, "view", basket) for basket in ("", "x", "y")]
    policy = taught(MostFrequent(), [*often, *(Signal("u0", "b", DAY_MS, "view", basket) for basket in ("x", "y"))])
    assert policy.rank(case("u0", "a"), 1) == ["a"]
