"""Feedback to learn from: slates of a shop whose items have a known chance of a click at each position."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from inference.tensors import FEATURES
from streams.contracts.slates import Feedback, Shown
from tests.unit.building import T0

SECOND = 1_000
SLATE = 10
SOURCES = ("covisit", "trending", "semantic")


def shown(item: str, position: int = 0, p: float | None = 0.1, clicked: bool = False, **fields: Any) -> Shown:
    """One position; `p` is the ranker's chance of a click."""
    values = {
        "item_id": item,
        "position": position,
        "propensity": 1.0,
        "features": [0.5] * len(FEATURES),
        "pairs": [],
        "item_code": [],
        "source": SOURCES[position % len(SOURCES)],
        "p": None if p is None else [round(p, 6), round(p / 4, 6), round(p / 10, 6)],
        "outcome": "click" if clicked else None,
    }
    return Shown(**(values | fields))  # type: ignore[arg-type]


def feedback(items: list[Shown], number: int = 0, **fields: Any) -> Feedback:
    """A record, the `number`-th of partition 0."""
    at_ms = T0 + number * SECOND
    values = {
        "feedback_id": f"0-0-{number}-0",
        "slate_id": f"0-0-{number}",
        "request_id": f"r{number}",
        "user_id": "u",
        "at_ms": at_ms,
        "closed_ms": at_ms + SECOND,
        "device": "ios" if number % 2 else "web",
        "items": items,
        "seeds": [],
        "history_ids": [],
        "history_codes": [],
    }
    return Feedback(**(values | fields))  # type: ignore[arg-type]


def stream(count: int, seed: int = 1, items: int = 200, ranked: bool = True) -> Iterator[Feedback]:
    """A shop whose ranker is wrong about each item by a constant, and whose users trust high positions."""
    rng = np.random.default_rng(seed)
    worth, error = rng.normal(-2.0, 0.8, items), rng.normal(0.0, 0.8, items)
    for number in range(count):
        chosen = rng.choice(items, SLATE, replace=False)
        said = _sigmoid(worth[chosen] + error[chosen])
        clicked = rng.random(SLATE) < _sigmoid(worth[chosen] - 0.2 * np.arange(SLATE))
        rows = zip(chosen.tolist(), said.tolist(), clicked.tolist(), strict=True)
        yield feedback(
            [
                shown(f"i{item}", place, p if ranked else None, was, category=f"c{item % 7}", seen=was or place < 8)
                for place, (item, p, was) in enumerate(rows)
            ],
            number,
        )


def _sigmoid(logits: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-logits))
