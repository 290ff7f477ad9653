import random

import numpy as np
import pytest

from streams.features.item import Catalogue
from streams.retrieval import popularity as pop
from streams.retrieval.popularity import Popularity, Span
from tests.unit.building import item

Set = tuple[int, int, int, str, int]
"""(partition, item, day, signal, value)"""
TODAY = 20_000
SPANS: tuple[Span, ...] = ("trend", "popular")


def catalogue(size: int) -> Catalogue:
    known = Catalogue()
    for n in range(size):
        known.upsert(item(f"i{n}", category=["all", f"c{n % 3}"]))
    return known


def random_sets(seed: int, items: int, count: int, days: int = 400) -> list[Set]:
    drawn = random.Random(seed)
    return [
        (
            drawn.randrange(3), drawn.randrange(items), TODAY + drawn.randrange(-days, days), drawn.choice("vcap"),
            0 if drawn.random() < 0.2 else drawn.randrange(1, 5_000),
        )
        for _ in range(count)
    ]  # fmt: skip


def put(popularity: Popularity, *sets: Set) -> None:
    for partition, item_, day, signal, value in sets:
        columns = (np.array([number]) for number in (partition, item_, day, pop.SIGNAL_CODES[signal], value))
        popularity.set(*columns)


def applied(known: Catalogue, sets: list[Set]) -> Popularity:
    popularity = Popularity(known)
    for one in sets:
        put(popularity, one)
    return popularity


def naive(sets: list[Set], size: int, span: Span) -> list[int]:
    """The definition, by dicts."""
    last = {one[:4]: one[4] for one in sets}
    newest, counts = max(one[2] for one in sets), [0] * size
    for (_, item_, day, signal), value in last.items():
        age = newest - day
        if age <= pop.KEPT_DAYS:
            counts[item_] += value * pop.SIGNAL_WEIGHTS[signal] * int(65536 * 0.5 ** (age / pop.HALF_LIFE_DAYS[span]))
    return counts


@pytest.mark.parametrize("span", SPANS)
def test_it_is_the_definition_whenever_it_is_read(span: Span) -> None:
    known, sets = catalogue(20), random_sets(1, 20, 3_000)
    popularity = Popularity(known)
    for n, one in enumerate(sets, 1):
        put(popularity, one)
        if n % 500 == 0 or n < 5:
            counts = naive(sets[:n], 20, span)
            assert popularity.counts(span, 20).tolist() == counts
            assert popularity.logs(span, 20).tolist() == np.log1p(np.array(counts) / 65536).tolist()


@pytest.mark.parametrize("span", SPANS)
def test_the_order_of_changes_doesnt_matter_to_the_bit(span: Span) -> None:
    known, sets = catalogue(20), list({one[:4]: one for one in random_sets(2, 20, 200)}.values())
    orders = [sets, sorted(sets, key=lambda one: one[2]), sorted(sets, key=lambda one: -one[2])]
    results = [applied(known, order).counts(span, 20).tolist() for order in orders]
    assert results[0] == results[1] == results[2]
    bests = [applied(known, order).best(span).tolist() for order in orders]
    assert bests[0] == bests[1] == bests[2]


def test_a_pruned_counter_weighs_nothing() -> None:
    popularity = applied(catalogue(2), [(0, 0, TODAY, "p", 5), (0, 0, TODAY, "p", 0), (1, 1, TODAY, "v", 1)])
    assert popularity.counts("trend", 2).tolist() == [0, 65536]
    assert popularity.best("trend").tolist() == [1]


def test_a_value_is_absolute_so_a_repeat_does_no_harm() -> None:
    one, twice = (0, 0, TODAY, "c", 5), [(0, 0, TODAY, "c", 5)] * 2
    known = catalogue(1)
    assert applied(known, twice).counts("popular", 1).tolist() == applied(known, [one]).counts("popular", 1).tolist()


def test_what_weighs_nothing_any_more_is_not_kept() -> None:
    sets = [(0, n % 5, TODAY + 5 * n, "v", 1) for n in range(100)]
    popularity = applied(catalogue(5), sets)
    put(popularity, (0, 0, TODAY, "v", 9))
    for kept in (popularity._values, popularity._days):  # noqa: SLF001 (the bound itself)
        assert len(kept) == pop.KEPT_DAYS // 5 + 1


def naive_best(known: Catalogue, counts: list[int], category: int | None) -> list[int]:
    wanted = [
        i
        for i, count in enumerate(counts)
        if count > 0 and known.servable[i] and known.in_stock[i] and (category is None or category in known.category[i])
    ]
    return sorted(wanted, key=lambda i: (-counts[i], int(known.digest[i])))[: pop.BEST]


@pytest.mark.parametrize("size", [30, 700])
def test_the_best_are_in_order_and_may_be_served(size: int) -> None:
    known = catalogue(size)
    sets = [(0, n, TODAY - n % 4, "v", 1 + n % 3) for n in range(size)]
    popularity = applied(known, sets)
    known.delete("i3")
    known.upsert(item("i4", in_stock=False))
    for category in (None, known.codes["all",], known.codes["all", "c1"]):
        assert popularity.best("trend", category).tolist() == naive_best(known, naive(sets, size, "trend"), category)


def test_the_best_follow_changes_of_counts_and_catalogue() -> None:
    known = catalogue(3)
    popularity = applied(known, [(0, 0, TODAY, "v", 1), (0, 1, TODAY, "v", 2)])
    assert popularity.best("popular").tolist() == [1, 0]
    put(popularity, (0, 2, TODAY, "v", 3))
    assert popularity.best("popular").tolist() == [2, 1, 0]
    known.delete("i1")
    assert popularity.best("popular").tolist() == [2, 0]
    known.upsert(item("i1"))
    assert popularity.best("popular").tolist() == [2, 1, 0]


def test_items_beyond_the_first_size() -> None:
    known = catalogue(3_000)
    popularity = applied(known, [(0, 2_999, TODAY, "p", 1), (0, 0, TODAY, "p", 2)])
    assert popularity.best("trend").tolist() == [0, 2_999]
    assert popularity.counts("popular", 3_000)[2_999] == 6 * 65536
    assert np.count_nonzero(popularity.counts("popular", 3_000)) == 2
    assert Popularity(known).counts("trend", 3_000).shape == (3_000,)
