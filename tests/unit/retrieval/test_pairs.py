import random

import numpy as np
import pytest

from streams.features.item import Catalogue
from streams.retrieval import pairs as p
from streams.retrieval.pairs import Pairs

Set = tuple[int, int, int, int, int]
"""(partition, month, item, other, value)"""
NOW = 660


def catalogue(size: int) -> Catalogue:
    known = Catalogue()
    for n in range(size):
        known.index_of(f"i{n}")
    return known


def random_sets(seed: int, items: int, count: int) -> list[Set]:
    drawn = random.Random(seed)
    return [
        (
            drawn.randrange(4), NOW - int(drawn.expovariate(0.3)), drawn.randrange(items), drawn.randrange(items),
            0 if drawn.random() < 0.2 else drawn.randrange(1, 50_000),
        )
        for _ in range(count)
    ]  # fmt: skip


def put(pairs: Pairs, *sets: Set) -> None:
    for partition, month, item, other, value in sets:
        columns = (np.array([number]) for number in (partition, other, month, item, value))
        pairs.set(*columns)


def applied(known: Catalogue, sets: list[Set]) -> Pairs:
    pairs = Pairs(known)
    for one in sets:
        put(pairs, one)
    return pairs


def naive(known: Catalogue, sets: list[Set], item: int) -> list[tuple[int, float, float, float]]:
    """The definition, by dicts: each neighbour, its weight, and what it counts forwards and backwards."""
    last = {one[:4]: one[4] for one in sets}
    newest = max(month for _, month, *_ in sets)
    counts: dict[int, list[int]] = {}
    for (_, month, first, then), value in last.items():
        age = min(newest - month, 63)
        for here, there, way in ((first, then, 0), (then, first, 1)):
            if here == item and value:
                counts.setdefault(there, [0, 0])[way] += value * int(1024 * 0.5 ** (age / 4))
    weights = {other: 2 * forward + backward for other, (forward, backward) in counts.items()}
    best = sorted(weights, key=lambda other: (-weights[other], int(known.digest[other])))[: p.MAX_NEIGHBOURS]
    return [(other, weights[other] / 2048, *(count / 1024 for count in counts[other])) for other in sorted(best)]  # type: ignore[misc]


def both_ways(pairs: Pairs, item: int) -> list[tuple[int, float, float, float]]:
    found = pairs.neighbours(item)
    weights = found[:, p.AFTER] + found[:, p.BEFORE] / p.FORWARD
    assert found[:, p.DAMPED].tolist() == pytest.approx((weights**p.DAMP).tolist())
    columns = (found[:, p.ITEM].astype(int), weights, found[:, p.AFTER], found[:, p.BEFORE])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def read(pairs: Pairs, item: int) -> list[tuple[int, float]]:
    return [(other, weight) for other, weight, *_ in both_ways(pairs, item)]


@pytest.mark.parametrize(("items", "count"), [(5, 40), (30, 2_000), (300, 8_000), (160, 40_000)])
def test_it_is_the_definition_whenever_it_is_read(items: int, count: int) -> None:
    known, sets = catalogue(items), random_sets(items, items, count)
    pairs = Pairs(known)
    drawn = random.Random(1)
    for n, one in enumerate(sets, 1):
        put(pairs, one)
        if n % (count // 5) == 0 or n == count:
            for item in drawn.sample(range(items), 3):
                assert both_ways(pairs, item) == naive(known, sets[:n], item)


def test_the_order_of_changes_doesnt_matter_to_the_bit() -> None:
    known, sets = catalogue(20), list({one[:4]: one for one in random_sets(2, 20, 800)}.values())
    mixed = random.Random(3).sample(sets, len(sets))
    one, other = applied(known, sets), applied(known, mixed)
    for item in range(20):
        assert both_ways(one, item) == both_ways(other, item)


def test_ties_dont_depend_on_the_order_in_which_items_were_seen() -> None:
    size = p.MAX_NEIGHBOURS + 40
    forwards, backwards = Catalogue(), Catalogue()
    for n in range(size):
        forwards.index_of(f"i{n}")
        backwards.index_of(f"i{size - 1 - n}")
    chosen = []
    for known in (forwards, backwards):
        pairs = Pairs(known)
        for n in range(1, size):
            put(pairs, (0, NOW, known.index["i0"], known.index[f"i{n}"], 1000))
        chosen.append({known.ids[item] for item, _ in read(pairs, known.index["i0"])})
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == p.MAX_NEIGHBOURS


def test_forward_counts_double() -> None:
    pairs = applied(catalogue(2), [(0, NOW, 0, 1, 1000)])
    assert both_ways(pairs, 0) == [(1, 1000.0, 1000.0, 0.0)]
    assert both_ways(pairs, 1) == [(0, 500.0, 0.0, 1000.0)]


def test_a_pruned_counter_is_gone() -> None:
    pairs = applied(catalogue(3), [(0, NOW, 0, 1, 1000), (0, NOW, 0, 2, 1)])
    assert len(read(pairs, 0)) == 2
    put(pairs, (0, NOW, 0, 1, 0))
    assert read(pairs, 0) == [(2, 1.0)]
    assert read(pairs, 1) == []


def test_a_new_month_ages_all_the_others() -> None:
    pairs = applied(catalogue(4), [(0, NOW, 0, 1, 1000)])
    assert read(pairs, 0) == [(1, 1000.0)]
    put(pairs, (0, NOW + p.HALF_LIFE_BUCKETS, 2, 3, 1))
    assert read(pairs, 0) == [(1, 500.0)]


def test_partitions_add_up() -> None:
    pairs = applied(catalogue(2), [(0, NOW, 0, 1, 1000), (4095, NOW, 0, 1, 1000), (7, NOW, 1, 0, 1000)])
    assert read(pairs, 0) == [(1, 2500.0)]


def test_a_value_beyond_its_bits_saturates() -> None:
    pairs = applied(catalogue(2), [(0, NOW, 0, 1, 2**40)])
    assert read(pairs, 0) == [(1, float(2**31 - 1))]


def test_nobody_is_known_of_a_new_item() -> None:
    assert read(Pairs(catalogue(1)), 0) == []


@pytest.mark.parametrize("at_once", [1, 7, 4_000])
def test_many_changes_at_once_are_the_same_as_one_by_one(at_once: int) -> None:
    known, sets = catalogue(60), random_sets(5, 60, 4_000)
    pairs = Pairs(known)
    for start in range(0, len(sets), at_once):
        partitions, months, items, others, values = np.array(sets[start : start + at_once]).T
        pairs.set(partitions, others, months, items, values)
    assert all(both_ways(pairs, item) == naive(known, sets, item) for item in range(60))


def test_rows_are_sorted_and_their_room_is_bounded() -> None:
    pairs = applied(catalogue(10), random_sets(6, 10, 2_000))
    assert (pairs._keys.dtype, pairs._values.dtype) == (np.int64, np.int32)  # noqa: SLF001 (the promise of the module)
    for start, size, room in pairs._rows.tolist():  # noqa: SLF001
        assert np.all(np.diff(pairs._keys[start : start + size]) > 0)  # noqa: SLF001
        assert size <= room <= max(4, 2 * size + 2) or size < 4
