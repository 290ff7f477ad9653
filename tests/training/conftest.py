"""A small shop with habits: every user buys a few favourites again and again, and follows the fashion of the week."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.building import settings
from training.dataset import Dataset, build
from training.lesson import Lesson
from training.recipe import Fit, Limits, Pretraining, Recipe, Teaching

USERS, ITEMS, WEEKS = 30, 80, 14
DAY_MS = 86_400_000
FIRST_MS = round(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
LIMITS = Limits(train=150, validation=40, negatives=20)
RECIPE = Recipe(
    seed=5,
    limits=LIMITS,
    pretraining=Pretraining(epochs=2, places=20_000, negatives=64),
    fit=Fit(epochs=4, batch_lists=8, learning_rate=5e-3),
    teaching=Teaching(epochs=2, slices=2, later_epochs=1, batch_rows=32),
)
Event = dict[str, Any]
torch.set_num_threads(1)  # as `fit` does: sums are the same each time, and so small are faster


def shop(seed: int = 3) -> list[Event]:
    """Return the purchases of all users, in order of time."""
    generator = np.random.default_rng(seed)
    events: list[Event] = []
    favourites = [generator.choice(ITEMS, 4, replace=False) for _ in range(USERS)]
    for week in range(WEEKS):
        fashion = int(generator.integers(ITEMS))
        for user in range(USERS):
            at_ms = FIRST_MS + week * 7 * DAY_MS + int(generator.integers(6 * DAY_MS))
            basket = {int(item) for item in favourites[user] if generator.random() < 0.6}
            basket |= {int(generator.integers(ITEMS)), *([fashion] if generator.random() < 0.3 else [])}
            for line, item in enumerate(sorted(basket)):
                order = f"{week}-{user}"
                signal = {"type": "purchase", "user_id": f"u{user}", "at_ms": at_ms, "item_id": f"i{item}"}
                events.append(signal | {"event_id": f"{order}-{line}", "order_id": order})
    return sorted(events, key=lambda event: (event["at_ms"], event["order_id"]))


def write_log(folder: Path, events: Iterable[Event]) -> Path:
    """Write events and the catalogue as `streamrank import` would."""
    folder.mkdir(parents=True, exist_ok=True)
    items = [
        {"item_id": f"i{n}", "title": f"item {n}", "category": [f"c{n % 3}", f"d{n % 9}"], "price": 1.0 + n % 7}
        for n in range(ITEMS)
    ]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def lists_of(
    folder: Path, work: Path, limits: Limits = LIMITS, seed: int = 1, candidates: int = 200, processes: int = 1
) -> Dataset:
    """Build from a whole log."""
    recipe = Recipe(seed=seed, limits=limits)
    return build(Lesson(folder), work, settings(candidates=candidates), recipe, processes=processes)


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("log"), shop())


@pytest.fixture(scope="session")
def dataset(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return lists_of(log, tmp_path_factory.mktemp("lists"))
