import json
from pathlib import Path
from typing import Any

import pytest

from streams.demo.journey import CUT_MS, WEEK_MS, baskets, history
from streams.errors import Misuse


def _purchase(user: str, order: str, item: str, at_ms: int) -> dict[str, Any]:
    return {"type": "purchase", "user_id": user, "order_id": order, "item_id": item, "at_ms": at_ms}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [
        _purchase("u1", "o1", "a", CUT_MS - 1),
        _purchase("u1", "o2", "a", CUT_MS),
        _purchase("u2", "o3", "b", CUT_MS),
        _purchase("u1", "o2", "c", CUT_MS),
        _purchase("u2", "o4", "b", CUT_MS + WEEK_MS),
    ]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_history_ends_before_the_cut(folder: Path) -> None:
    assert [line.order_id for _, _, line in history(folder)] == ["o1"]


def test_baskets_are_whole_and_in_order_of_time(folder: Path) -> None:
    assert [(basket.name, sorted(basket.items)) for basket in baskets(folder, weeks=1)] == [
        ("o2", ["a", "c"]),
        ("o3", ["b"]),
    ]
    assert [basket.name for basket in baskets(folder, weeks=2)] == ["o2", "o3", "o4"]


def test_a_basket_keeps_its_lines_as_they_were(folder: Path) -> None:
    raw = (folder / "events.jsonl").read_bytes().splitlines()
    assert baskets(folder, weeks=1)[0].raw == (raw[1], raw[3])


def test_households_that_bought_nothing_are_a_misuse(folder: Path) -> None:
    (folder / "events.jsonl").write_text(json.dumps(_purchase("u", "o", "a", CUT_MS - 1)) + "\n")
    with pytest.raises(Misuse, match="draw more"):
        baskets(folder, weeks=4)
