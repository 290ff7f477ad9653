"""The demo's own judgement: each promise that is broken is told, and a healthy run tells nothing."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from streams.demo.account import Account
from streams.demo.report import broken_promises


def result() -> dict[str, Any]:
    return {
        "events": {"published": 10, "applied": 7, "dead_letters": 2, "duplicates_dropped": 1, "lost": 0},
        "slates": {"requested": 3, "served": 3},
        "injected": {"malformed": 2, "repeated": 1},
        "arguments": {"households": 299},
    }


def full_result(by_triton: int = 100, recall: float = 0.01, ndcg: float = 0.01, failed: int = 0) -> dict[str, Any]:
    slates = {"requested": 100, "served": 100, "by": {"triton": by_triton, "popular": 100 - by_triton}}
    bounds = {"popular": {"hit_rate": -0.1, "recall": recall, "ndcg": ndcg}}
    more = {"slates": slates, "quality": {"lower_bounds": bounds}, "swap": {"failed_requests": failed}}
    return result() | {"arguments": {"households": 300}} | more


def told(acknowledged: int = 10, found: int = 2) -> Any:
    return SimpleNamespace(acknowledged=acknowledged, stream=SimpleNamespace(found=found))


def test_a_healthy_run_breaks_no_promise() -> None:
    assert broken_promises(told(), result()) == []


@pytest.mark.parametrize(
    ("part", "name", "value", "said"),
    [
        ("events", "lost", 1, "1 events were lost"),
        ("events", "lost", -1, "-1 events were lost"),
        ("events", "published", 9, "holds 9 events and acknowledged 10"),
        ("events", "dead_letters", 3, "2 malformed events were sent and 2 of them are among 3 dead letters"),
        ("events", "duplicates_dropped", 0, "1 events were repeated and 0 duplicates dropped"),
        ("slates", "served", 2, "1 of 3 requests were not answered"),
    ],
)
def test_each_broken_promise_is_told(part: str, name: str, value: int, said: str) -> None:
    wrong = result()
    wrong[part][name] = value
    (sentence,) = broken_promises(told(), wrong)
    assert said in sentence


def test_a_full_run_vouches_for_ranker_and_quality() -> None:
    assert broken_promises(told(), full_result(by_triton=99)) == []
    (slow,) = broken_promises(told(), full_result(by_triton=98))
    assert "98 of 100 slates were ranked by Triton" in slow
    (failed,) = broken_promises(told(), full_result(failed=1))
    assert "1 requests were not ranked by Triton while the ranker was swapped" in failed
    (poor,) = broken_promises(told(), full_result(recall=0.0))
    assert "over popular in recall" in poor
    assert len(broken_promises(told(), full_result(recall=-0.1, ndcg=-0.1))) == 2


@pytest.mark.parametrize("make", [lambda: told(acknowledged=11), lambda: told(found=1)])
def test_what_was_sent_is_compared_with_what_is_there(make: Callable[[], Any]) -> None:
    assert len(broken_promises(make(), result())) == 1


def test_what_is_nowhere_is_lost() -> None:
    assert Account(10, 7, 1, 2, 0, settled=True).lost == 0
    assert Account(10, 6, 1, 2, 0, settled=False).lost == 1
