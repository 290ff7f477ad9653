import heapq

import numpy as np

from streams.demo.baselines import PersonalFrequency, Popular
from streams.demo.journey import Line

DAY_MS = 86_400_000


def _line(user: str, item: str, day: int, basket: str | None = None) -> Line:
    return Line(user, item, day * DAY_MS, basket or f"{user}-{day}")


def test_popular_prefers_what_was_bought_lately() -> None:
    popular = Popular(k=2, half_life_days=10)
    for line in [_line("a", "old", 0), _line("b", "old", 0), _line("a", "new", 40), _line("a", "rare", 20)]:
        popular.learn(line)
    assert popular.top("anybody") == ["new", "rare"]


def test_the_kept_top_equals_a_full_search() -> None:
    generator = np.random.default_rng(5)
    popular, counts = Popular(k=5, half_life_days=30), dict[str, float]()
    for day, item in enumerate(generator.zipf(1.5, 2_000) % 100):
        popular.learn(_line("u", str(item), day // 10))
        counts[str(item)] = counts.get(str(item), 0.0) + 2.0 ** ((day // 10) / 30)
        assert [counts[item] for item in popular.top("u")] == heapq.nlargest(5, counts.values())


def test_own_favourites_count_baskets_not_lines() -> None:
    personal = PersonalFrequency(k=2)
    for line in [_line("u", "milk", 1), _line("u", "milk", 2), *[_line("u", "screws", 3, "one")] * 9]:
        personal.learn(line)
    assert personal.top("u") == ["milk", "screws"]


def test_ties_go_to_what_was_bought_last() -> None:
    personal = PersonalFrequency(k=10)
    for day, item in enumerate(["a", "b", "c"]):
        personal.learn(_line("u", item, day))
    assert personal.top("u") == ["c", "b", "a"]


def test_households_do_not_see_each_other() -> None:
    personal = PersonalFrequency(k=10)
    personal.learn(_line("u", "milk", 1))
    assert personal.top("somebody-else") == []
