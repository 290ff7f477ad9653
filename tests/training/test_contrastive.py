"""Pairs of a log, and the encoder that learns from them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from streams.contracts.items import Item
from streams.errors import Misuse
from streams.evaluation.log import Log
from tests.training.languages import tiny
from training.augment import Augmentation
from training.contrastive import info_nce, train_encoder
from training.encoder import Encoder
from training.loop import Course
from training.pairs import QUERY_MS, pairs_of

FIRST_MS = 1_700_000_000_000
ITEMS = [Item(item_id=name, title=name) for name in ("tea", "cup", "hose", "rake", "")] + [Item(item_id="blank")]
COURSE = Course(seed=1, epochs=2, batch_rows=8, learning_rate=3e-3, patience=9)


def log_of(folder: Path, *events: dict[str, Any]) -> Log:
    lines = [{"user_id": "u", "at_ms": FIRST_MS + n} | event for n, event in enumerate(events)]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "items.jsonl").write_text("")
    return Log(folder)


def bought(item: str, order: str, **more: Any) -> dict[str, Any]:
    return {"type": "purchase", "item_id": item, "order_id": order} | more


def test_what_was_bought_together_is_a_pair_and_each_item_has_one_partner(tmp_path: Path) -> None:
    log = log_of(
        tmp_path, bought("tea", "1"), bought("cup", "1"), bought("hose", "1"), bought("rake", "2"), bought("tea", "3"),
        bought("tea", "3"), bought("blank", "4"), bought("cup", "4"), bought("gone", "4"),
    )  # fmt: skip
    pairs = pairs_of(log, ITEMS, 100, 1)
    assert sorted(left for left, _ in pairs) == ["cup", "hose", "tea"]
    assert sorted(right for _, right in pairs) == ["cup", "hose", "tea"]
    assert all(left != right for left, right in pairs)


def test_a_search_goes_with_what_was_clicked_soon_after(tmp_path: Path) -> None:
    search = {"type": "search", "query": "something to drink"}
    click = {"type": "click", "item_id": "tea"}
    late = {"type": "click", "item_id": "cup", "at_ms": FIRST_MS + QUERY_MS + 10}
    other = {"type": "click", "item_id": "hose", "user_id": "v"}
    assert pairs_of(log_of(tmp_path, search, other, click, late), ITEMS, 100, 1) == [("something to drink", "tea")]


def test_a_limit_draws_evenly_and_keeps_the_order(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    for n in range(200):
        events += [{"type": "search", "query": f"q{n}"}, {"type": "click", "item_id": "tea"}]
    log = log_of(tmp_path, *events)
    drawn = [int(query[1:]) for query, _ in pairs_of(log, ITEMS, 50, 1)]
    assert len(drawn) == 50
    assert drawn == sorted(drawn)
    assert 60 < np.mean(drawn) < 140
    assert drawn == [int(query[1:]) for query, _ in pairs_of(log, ITEMS, 50, 1)]
    assert drawn != [int(query[1:]) for query, _ in pairs_of(log, ITEMS, 50, 2)]


def test_a_negative_that_reads_the_same_is_none() -> None:
    torch.manual_seed(0)
    left, right = (torch.nn.functional.normalize(torch.randn(2, 8), dim=1) for _ in range(2))
    alike, none = torch.ones(2, 2, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.bool)
    assert info_nce(left, right, alike, none).item() == pytest.approx(0, abs=1e-6)
    assert info_nce(left, right, none, none).item() > 0.1
    assert info_nce(left, right, none, none).item() == pytest.approx(info_nce(right, left, none, none).item())


def belonging(generator: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """Return pairs of words of one of four groups."""
    groups = ["tea cup milk sugar", "hose rake spade seed", "shirt sock scarf coat", "pen ink paper book"]
    pairs = []
    for _ in range(count):
        left, right = generator.choice(groups[int(generator.integers(4))].split(), 2, replace=False)
        pairs.append((str(left), str(right)))
    return pairs


def nearness(encoder: Encoder, texts: Sequence[str]) -> float:
    one, two, other = encoder.encode(list(texts))
    return float(one @ two - one @ other)


@pytest.mark.parametrize("augmentation", [None, Augmentation(drop=0.2)])
def test_what_belongs_together_comes_together(augmentation: Augmentation | None) -> None:
    encoder, pairs = Encoder(tiny()), belonging(np.random.default_rng(0), 240)
    before = nearness(encoder, ("tea", "sugar", "spade"))
    course = Course(seed=1, epochs=6, batch_rows=16, learning_rate=1e-2, patience=9)
    ran = train_encoder(encoder, pairs, course, augmentation=augmentation)
    assert nearness(encoder, ("tea", "sugar", "spade")) > before + 0.2
    assert len(ran.history) == 6
    assert max(ran.history) > ran.history[0]


def test_the_same_seed_gives_the_same_encoder() -> None:
    pairs = belonging(np.random.default_rng(0), 30)
    encoders = [Encoder(tiny(dropout=0.1)) for _ in range(3)]
    for encoder, seed in zip(encoders, (1, 1, 2), strict=True):
        train_encoder(encoder, pairs, Course(seed=seed, epochs=1, batch_rows=8, learning_rate=3e-3))
    one, two, other = (encoder.encode(["tea", "rake"]) for encoder in encoders)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_without_pairs_there_is_nothing_to_learn() -> None:
    with pytest.raises(Misuse, match="no two items with a text were bought together"):
        train_encoder(Encoder(tiny()), [("a", "b")], COURSE)
