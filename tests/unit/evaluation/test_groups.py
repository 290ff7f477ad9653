"""Groups part cases and items, and what is said of them adds up to what is said of all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.evaluation.base import Case
from streams.evaluation.groups import HEAD_SHARE, LIGHT, by_item_group, by_user_group, item_groups, user_group
from streams.evaluation.metrics import METRICS, measure

POPULARITY = {"a": 5, "b": 3, "c": 1, "d": 1, "unsold": 0}
popularity_drawn = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 20))


def case(history: int, *targets: str) -> Case:
    return Case("u", 0, ("x",) * history, targets)


@pytest.mark.parametrize(
    ("history", "group"), [(0, "new"), (1, "light"), (LIGHT, "light"), (LIGHT + 1, "heavy"), (900, "heavy")]
)
def test_users_by_how_much_is_known_of_them(history: int, group: str) -> None:
    assert user_group(case(history, "a")) == group


def test_metrics_by_user_group_by_hand() -> None:
    cases = [case(0, "a"), case(3, "a"), case(3, "b")]
    found = by_user_group(measure([["a"], ["x", "a"], ["x"]], cases, 2), cases)
    assert list(found) == ["new", "light"]
    assert (found["new"]["cases"], found["new"]["mrr"]) == (1, 1.0)
    assert (found["light"]["cases"], found["light"]["mrr"], found["light"]["hit_rate"]) == (2, 0.25, 0.5)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab")), min_size=1, max_size=30))
def test_user_groups_part_the_cases(drawn: list[tuple[int, str]]) -> None:
    cases = [case(history, target) for history, target in drawn]
    values = measure([["a"]] * len(cases), cases, 1)
    groups = by_user_group(values, cases)
    assert sum(group["cases"] for group in groups.values()) == len(cases)
    for name in METRICS:
        total = sum(group["cases"] * group[name] for group in groups.values())
        assert total / len(cases) == pytest.approx(np.mean(values[name]), abs=1e-6)


def test_the_head_got_half_of_all_signals() -> None:
    assert item_groups(POPULARITY) == {"a": "head", "b": "tail", "c": "tail", "d": "tail"}
    assert item_groups({"a": 2, "b": 2, "c": 1}) == {"a": "head", "b": "head", "c": "tail"}


@given(popularity_drawn)
def test_the_head_is_the_smallest_that_got_its_share(popularity: dict[str, int]) -> None:
    groups = item_groups(popularity)
    assert set(groups) == {item for item, count in popularity.items() if count}
    head = sorted(popularity[item] for item, group in groups.items() if group == "head")
    tail = [popularity[item] for item, group in groups.items() if group == "tail"]
    if groups:
        assert sum(head) >= HEAD_SHARE * sum(popularity.values()) > sum(head[1:])
        assert head[0] >= max(tail, default=0)


def test_recall_by_item_group_by_hand() -> None:
    cases = [case(1, "a", "b", "unsold"), case(1, "a", "stranger"), case(1, "c", "c")]
    found = by_item_group([["a", "b"], ["x", "y", "a"], ["stranger", "c"]], cases, POPULARITY, 2)
    assert found == {
        "head": {"targets": 2, "recall": 0.5},
        "tail": {"targets": 2, "recall": 1.0},
        "cold": {"targets": 2, "recall": 0.0},
    }


def test_a_group_that_nobody_wanted_has_no_row() -> None:
    assert list(by_item_group([["a"]], [case(1, "a")], POPULARITY, 1)) == ["head"]


@given(popularity_drawn, st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5), max_size=8))
def test_item_groups_part_the_targets(popularity: dict[str, int], targets: list[list[str]]) -> None:
    cases = [case(1, *some) for some in targets]
    found = by_item_group([["a", "b"]] * len(cases), cases, popularity, 2)
    assert sum(group["targets"] for group in found.values()) == sum(len(set(some)) for some in targets)
    hits = sum(len({"a", "b"} & set(some)) for some in targets)
    assert sum(group["targets"] * group["recall"] for group in found.values()) == pytest.approx(hits, abs=1e-4)
    assert all(0.0 <= group["recall"] <= 1.0 for group in found.values())
