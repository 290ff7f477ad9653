import json
import math

import msgspec
import pytest
from msgspec import UNSET

from streams.contracts.slates import Slate, SlateItem
from streams.demo.board import Board
from streams.demo.journey import Basket, Line
from streams.demo.listen import Received


def _basket(user: str, name: str, *items: str) -> Basket:
    lines = tuple(Line(user, item, 1, name) for item in items)
    return Basket(lines, tuple(map(msgspec.json.encode, lines)))


def _slate(request_id: str, *items: str) -> Slate:
    chosen = [SlateItem(item_id=i, score=1.0, source="repeat", reason="", propensity=1.0) for i in items]
    return Slate(
        slate_id=request_id, request_id=request_id, user_id="u", kind="for_you", at_ms=1, items=chosen,
        model="ranker/1", served_by="triton", because=None, latency_ms=1.0,
    )  # fmt: skip


def test_every_household_counts_the_same() -> None:
    board = Board(k=10)
    for n in range(3):
        board.asked(f"busy-{n}", _basket("busy", f"b{n}", "milk"), lambda: 1.0)
        board.answered(Received(_slate(f"busy-{n}", "milk"), 1.002))
    board.asked("rare", _basket("rare", "r", "salt"), lambda: 1.0)
    board.answered(Received(_slate("rare", "milk"), 1.004))
    quality = board.quality(seed=1, weeks=1, drawn=2)
    assert quality["streamrank"] == {"hit_rate": 0.5, "recall": 0.5, "ndcg": 0.5}
    assert board.latencies_ms == pytest.approx([2, 2, 2, 4])
    assert json.dumps(quality)


def test_baselines_know_only_what_came_before() -> None:
    board = Board(k=10)
    basket = _basket("u", "b1", "milk")
    board.asked("first", basket, lambda: 1.0)
    board.learn(basket.lines[0])
    board.asked("second", _basket("u", "b2", "milk"), lambda: 1.0)
    for request in ("first", "second"):
        board.answered(Received(_slate(request), 1.0))
    quality = board.quality(seed=1, weeks=1, drawn=1)
    assert quality["popular"]["recall"] == quality["personal_frequency"]["recall"] == 0.5
    assert quality["streamrank"]["recall"] == 0.0
    assert quality["lower_bounds"]["popular"]["recall"] == -0.5


def test_repeats_and_strangers_count_once_and_never() -> None:
    board = Board(k=10)
    basket = _basket("u", "b", "milk")
    board.asked("r", basket, lambda: 1.0)
    found = [board.answered(Received(_slate(request, "milk"), 1.0)) for request in ("r", "r", "stranger")]
    assert found == [basket, None, None]
    assert (board.requested, board.served, board.hits) == (1, 1, 1)


def test_what_was_asked_in_a_window_is_ranked_or_failed() -> None:
    board = Board(k=10)
    for n, at_s in enumerate((1.0, 2.0, 3.0, 4.0)):
        board.asked(f"r{n}", _basket("u", f"b{n}", "milk"), lambda at_s=at_s: at_s)
    board.answered(Received(_slate("r1", "milk"), 2.005))
    board.answered(Received(msgspec.structs.replace(_slate("r2"), served_by="popular"), 3.001))
    assert board.between(2.0, 4.0) == (1, pytest.approx([5]))
    assert board.between(3.0, 9.0) == (2, [])
    assert board.between(9.0, 9.0) == (0, [])


def test_slates_that_name_a_snapshot_are_counted_with_the_latest_one() -> None:
    board = Board(k=1)
    for n, online in enumerate((UNSET, 3, 2)):
        board.asked(f"r{n}", _basket("u", f"b{n}", "milk"), lambda: 1.0)
        board.answered(Received(msgspec.structs.replace(_slate(f"r{n}", "milk"), online=online), 1.0))
    assert (board.served, board.blended, board.snapshot) == (3, 2, 3)


def test_ndcg_by_hand_and_only_the_first_k_count() -> None:
    board = Board(k=3)
    board.asked("r", _basket("u", "b", "b", "d", "absent"), lambda: 1.0)
    board.answered(Received(_slate("r", "a", "b", "c", "d"), 1.0))
    gain, ideal = 1 / math.log2(3), 1 + 1 / math.log2(3) + 1 / math.log2(4)
    found = board.quality(seed=1, weeks=1, drawn=1)["streamrank"]
    assert found == pytest.approx({"hit_rate": 1.0, "recall": 1 / 3, "ndcg": gain / ideal}, abs=1e-4)
    assert board.hits == 1


def test_a_slate_that_misses_the_basket_is_no_hit() -> None:
    board = Board(k=1)
    board.asked("r", _basket("u", "b", "milk"), lambda: 1.0)
    board.answered(Received(_slate("r", "salt", "milk"), 1.0))
    assert board.hits == 0
    assert board.quality(seed=1, weeks=1, drawn=1)["streamrank"] == {"hit_rate": 0.0, "recall": 0.0, "ndcg": 0.0}


def test_the_bound_of_a_clear_lead_is_positive_and_the_same_for_the_same_seed() -> None:
    board = Board(k=1)
    for n in range(60):
        board.asked(f"r{n}", _basket(f"u{n}", f"b{n}", "milk"), lambda: 1.0)
        board.answered(Received(_slate(f"r{n}", "milk" if n % 3 else "salt"), 1.0))
    bounds = [board.quality(seed=seed, weeks=1, drawn=60)["lower_bounds"]["popular"]["recall"] for seed in (1, 1)]
    assert bounds[0] == bounds[1]
    assert bounds[0] == pytest.approx(2 / 3 - 1.96 * (2 / 9 / 60) ** 0.5, abs=0.03)
