"""A summary is plain numbers, the same for the same seed, and agrees with the parts that it is made of."""

import json
from dataclasses import replace
from typing import Any

import pytest

from streams.evaluation.base import Case
from streams.evaluation.metrics import METRICS, measure
from streams.evaluation.summary import summarise

RANKINGS = [["a", "b"], ["b", "c"], ["c"], []]
CASES = [
    Case(user, 0, history, targets)
    for user, history, targets in (
        ("u", (), ("a",)),
        ("u", ("a",), ("a", "c")),
        ("v", ("a", "b"), ("b",)),
        ("w", ("x",) * 11, ("d",)),
    )
]
POPULARITY = {"a": 3, "b": 2, "c": 1, "d": 0}


def summary(seed: int = 1, categories: dict[str, str] | None = None) -> dict[str, Any]:
    return summarise(RANKINGS, CASES, 2, seed=seed, popularity=POPULARITY, categories=categories or {})


def test_means_are_those_of_the_metrics() -> None:
    values = measure(RANKINGS, CASES, 2)
    assert {name: summary()[name] for name in METRICS} == pytest.approx(
        {name: value.mean() for name, value in values.items()}, abs=1e-6
    )
    assert summary()["recall"] == 0.375


def test_each_metric_lies_in_its_interval() -> None:
    found = summary()
    assert list(found["intervals"]) == list(METRICS)
    assert all(low <= found[name] <= high for name, (low, high) in found["intervals"].items())


def test_it_holds_all_that_is_to_be_told() -> None:
    found = summary(categories={"a": "food", "b": "toys"})
    assert set(found) == {
        *METRICS,
        *("coverage", "novelty", "popularity_bias", "diversity"),
        *("intervals", "by_user_group", "by_item_group"),
    }
    assert {group: row["cases"] for group, row in found["by_user_group"].items()} == {"new": 1, "light": 2, "heavy": 1}
    assert {group: row["targets"] for group, row in found["by_item_group"].items()} == {"head": 2, "tail": 2, "cold": 1}


def test_it_is_the_same_json_for_the_same_seed() -> None:
    assert json.dumps(summary()) == json.dumps(summary())
    assert json.loads(json.dumps(summary())) == summary()


def test_another_seed_changes_the_intervals_alone() -> None:
    cases = [replace(case, user_id=f"{case.user_id}{n}") for n in range(20) for case in CASES]
    one, other = (
        summarise(RANKINGS * 20, cases, 2, seed=seed, popularity=POPULARITY, categories={}) for seed in (1, 3)
    )
    assert one.pop("intervals") != other.pop("intervals")
    assert one == other
