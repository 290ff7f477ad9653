"""A small shop with habits: every user buys a few favourites again and again, and follows the fashion of the week."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from training.dataset import Dataset, build
from training.splits import Split

USERS, ITEMS, WEEKS = 30, 80, 14
DAY_MS = 86_400_000
FIRST_MS = round(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
TINY = (
    Split("train", "2024-02-01", "2024-03-04", negatives=20),
    Split("validation", "2024-03-04", "2024-03-18"),
    Split("test", "2024-03-18", "2024-04-01"),
)


def shop(seed: int = 3) -> list[dict[str, object]]:
    """Return the purchases of all users, in order of time."""
    generator = np.random.default_rng(seed)
    events: list[dict[str, object]] = []
    favourites = [generator.choice(ITEMS, 4, replace=False) for _ in range(USERS)]
    for week in range(WEEKS):
        fashion = int(generator.integers(ITEMS))
        for user in range(USERS):
            at_ms = FIRST_MS + week * 7 * DAY_MS + int(generator.integers(6 * DAY_MS))
            basket = {int(item) for item in favourites[user] if generator.random() < 0.6}
            basket |= {int(generator.integers(ITEMS)), *([fashion] if generator.random() < 0.3 else [])}
            for line, item in enumerate(sorted(basket)):
                order = f"{week}-{user}"
                events.append(
                    {
                        "type": "purchase",
                        "event_id": f"{order}-{line}",
                        "user_id": f"u{user}",
                        "at_ms": at_ms,
                        "item_id": f"i{item}",
                        "order_id": order,
                    }
                )
    return sorted(events, key=lambda event: (event["at_ms"], event["order_id"]))


def write_log(folder: Path, events: list[dict[str, object]]) -> Path:
    """Write events and the catalogue as `streamrank import` would."""
    folder.mkdir(parents=True, exist_ok=True)
    items = [
        {"item_id": f"i{n}", "title": f"item {n}", "category": [f"c{n % 3}", f"d{n % 9}"], "price": 1.0 + n % 7}
        for n in range(ITEMS)
    ]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def lists_of(log: Path, out: Path, *splits: Split, users: int | None = None) -> Dataset:
    """Build with counters as fresh as a small log needs."""
    return build(log, out, splits=splits or TINY, users=users, batch_events=50)


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("log"), shop())


@pytest.fixture(scope="session")
def dataset(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return lists_of(log, tmp_path_factory.mktemp("lists"))
