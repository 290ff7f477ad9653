"""Counts of pairs equal a plain count, whatever else is counted in between, and however often arrays grow."""

import random
from collections import defaultdict

import pytest

from streams.evaluation.baselines.pairs import NOTHING, PairCounts

Counts = dict[tuple[int, int], float]


def rows(pairs: PairCounts, way: int = 0) -> tuple[Counts, Counts]:
    """Return F and B by (item, other), in one way."""
    forward, backward = {}, {}
    for item, (entry, size) in enumerate(zip(pairs.heads.tolist(), pairs.sizes.tolist(), strict=True)):
        others: set[int] = set()
        while entry != NOTHING:
            other = int(pairs.others[entry])
            others.add(other)
            forward[item, other], backward[item, other] = pairs.forward[entry, way], pairs.backward[entry, way]
            entry = int(pairs.following[entry])
        assert len(others) == size
    return forward, backward


def plain(sequences: dict[str, list[int]], window: int, power: float) -> Counts:
    found: Counts = defaultdict(float)
    for items in sequences.values():
        for later, b in enumerate(items):
            for earlier in range(max(0, later - window), later):
                if items[earlier] != b:
                    found[items[earlier], b] += (later - earlier) ** -power
    return found


@pytest.mark.parametrize(("window", "power"), [(1, 1.0), (3, 1.0), (20, 0.5)])
@pytest.mark.parametrize("items", [5, 2_000])
def test_counts_are_those_of_a_plain_count(window: int, power: float, items: int) -> None:
    rng = random.Random(items + window)
    pairs, sequences = PairCounts(window, [power]), defaultdict(list)
    for _ in range(5_000):
        user, item = f"u{rng.randrange(30)}", min(int(rng.expovariate(3 / items)), items - 1)
        pairs.add(user, item, [1.0])
        sequences[user].append(item)
    forward, backward = rows(pairs)
    expected = plain(sequences, window, power)
    assert {pair: n for pair, n in forward.items() if n} == pytest.approx(expected)
    assert {(a, b): n for (b, a), n in backward.items() if n} == pytest.approx(expected)


def test_users_in_between_change_nothing_to_the_bit_if_weights_are_whole() -> None:
    rng = random.Random(1)
    signals = [(f"u{rng.randrange(9)}", rng.randrange(40)) for _ in range(3_000)]
    mixed, apart = PairCounts(1, [1.0]), PairCounts(1, [1.0])
    for user, item in signals:
        mixed.add(user, item, [1.0])
    for user, item in sorted(signals, key=lambda pair: pair[0]):
        apart.add(user, item, [1.0])
    assert rows(mixed) == rows(apart)


def test_a_scale_multiplies_what_is_added() -> None:
    pairs = PairCounts(2, [1.0])
    for item, scale in ((0, 1.0), (1, 10.0), (2, 100.0)):
        pairs.add("u", item, [scale])
    assert {pair: n for pair, n in rows(pairs)[0].items() if n} == {(0, 1): 10.0, (1, 2): 100.0, (0, 2): 50.0}


def test_ways_at_once_are_what_each_is_alone() -> None:
    rng, powers = random.Random(4), (0.5, 1.0, 1.0)
    together, alone = PairCounts(5, powers), [PairCounts(5, [power]) for power in powers]
    for n in range(20_000):
        user, item, scales = f"u{rng.randrange(9)}", rng.randrange(300), (1.0, 1.0, 1.001**n)
        together.add(user, item, scales)
        for one, scale in zip(alone, scales, strict=True):
            one.add(user, item, [scale])
    assert all(rows(together, way) == rows(one) for way, one in enumerate(alone))


def test_memory_is_bounded_by_the_items_not_by_the_log() -> None:
    rng = random.Random(2)
    pairs, sizes = PairCounts(3, [1.0]), []
    for _ in range(4):
        for _ in range(20_000):
            pairs.add(f"u{rng.randrange(5)}", rng.randrange(150), [1.0])
        sizes.append((len(pairs.others), len(pairs.heads)))
    assert rows(pairs)[0].keys() == {(a, b) for a in range(150) for b in range(150) if a != b}
    assert sizes[0] == sizes[-1]
    assert sizes[-1][0] <= 8 * 150 * 150
