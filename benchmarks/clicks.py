"""Feedback to judge click models by: the Open Bandit files, and a made shop whose ranker is wrong in a known way."""

import csv
import gzip
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.tensors import FEATURES
from streams.contracts.slates import Feedback, Shown
from streams.errors import Misuse

PRIOR_SHOWN = 100
"""The popularity prior takes an item as having been shown so often before, at the overall rate."""
_NO_FEATURES = [0.0] * len(FEATURES)


def open_bandit(folder: Path) -> Iterator[Feedback]:
    """Yield each logged round of a campaign as a record of one position, in order of time.

    There is no ranker in these logs: its place takes an item's popularity so far, (clicks + rate * PRIOR_SHOWN) /
    (shown + PRIOR_SHOWN), with the overall rate so far. The category is the item's second feature. A user is a row.

    Raises:
        Misuse: the files aren't there.
    """
    categories = {row["item_id"]: row["item_feature_1"] for row in _rows(folder / "item_context.csv.gz")}
    rows = sorted(_rows(_log_of(folder)), key=lambda row: row["timestamp"])
    shown, clicks = dict.fromkeys(categories, 0), dict.fromkeys(categories, 0)
    for number, row in enumerate(rows):
        item, clicked = row["item_id"], row["click"] == "1"
        rate = (sum(clicks.values()) + 1) / (number + 200)
        p = (clicks[item] + rate * PRIOR_SHOWN) / (shown[item] + PRIOR_SHOWN)
        at_ms = int(datetime.fromisoformat(row["timestamp"]).timestamp() * 1000)
        propensity = float(row["propensity_score"])
        one = _shown(item, int(row["position"]) - 1, p, clicked, categories[item], "log", propensity)
        yield _record(number, f"row-{number}", at_ms, [one])
        shown[item] += 1
        clicks[item] += clicked


def made_shop(count: int, seed: int = 1, items: int = 2_000, slate: int = 10) -> Iterator[Feedback]:
    """Yield slates of a made shop: a ranker that misjudges each item by a constant, users who trust high positions.

    Half-way, a quarter of the items change their worth, of which the ranker doesn't know.
    """
    rng = np.random.default_rng(seed)
    worth, error = rng.normal(-2.5, 0.8, items), rng.normal(0.0, 0.6, items)
    for number in range(count):
        if number == count // 2:
            changed = rng.choice(items, items // 4, replace=False)
            worth[changed] = rng.normal(-2.5, 0.8, len(changed))
            error[changed] += rng.normal(0.0, 0.6, len(changed))
        chosen = rng.choice(items, slate, replace=False)
        said = _sigmoid(worth[chosen] + error[chosen]).tolist()
        clicked = (rng.random(slate) < _sigmoid(worth[chosen] - 0.15 * np.arange(slate))).tolist()
        positions = [
            _shown(f"i{item}", place, said[place], clicked[place], f"c{item % 20}", "covisit", 1.0)
            for place, item in enumerate(chosen.tolist())
        ]
        yield _record(number, f"u{number % 5_000}", 1_732_212_000_000 + number * 1_000, positions)


def _shown(item: str, position: int, p: float, clicked: bool, category: str, source: str, propensity: float) -> Shown:
    return Shown(
        item_id=item,
        position=position,
        propensity=propensity,
        features=_NO_FEATURES,
        pairs=[],
        item_code=[],
        source=source,
        p=[p, 0.25 * p, 0.1 * p],
        category=category,
        outcome="click" if clicked else None,
    )


def _record(number: int, user: str, at_ms: int, items: list[Shown]) -> Feedback:
    return Feedback(
        feedback_id=f"0-0-{number}-0",
        slate_id=f"0-0-{number}",
        request_id=None,
        user_id=user,
        at_ms=at_ms,
        closed_ms=at_ms,
        items=items,
        seeds=[],
        history_ids=[],
        history_codes=[],
    )


def _log_of(folder: Path) -> Path:
    found = [path for path in sorted(folder.glob("*.csv.gz")) if path.name != "item_context.csv.gz"]
    if len(found) != 1:
        raise Misuse(f"{folder}: holds no log of Open Bandit: give the folder that has bts_all, random_all and so on")
    return found[0]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    except OSError as exc:
        raise Misuse(f"{path}: can't be read: {exc.strerror}") from exc


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    p: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-logits))
    return p
