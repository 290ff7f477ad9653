"""The training set is point in time, bounded, and says what it is."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from inference.tensors import FEATURES
from streams.errors import Misuse
from tests.training.conftest import TINY, lists_of, shop, write_log
from training.dataset import Dataset
from training.lists import Lists, batch
from training.splits import Split
from training.visits import day_ms


def same(one: Lists, other: Lists, names: tuple[str, ...]) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


SEEN = ("features", "item_ids", "items", "offsets", "history_ids", "users", "times", "tops")


def test_the_future_changes_no_feature(dataset: Dataset, tmp_path: Path) -> None:
    """Whatever is bought from the test's first day on, lists of that day's first visit and before stay as they were."""
    whole = Split("train", TINY[0].first, TINY[1].end)
    last = max(event["at_ms"] for event in shop() if event["at_ms"] < day_ms(TINY[1].end))  # type: ignore[type-var, operator]
    events = shop()
    changed = [event | {"item_id": "i0"} if event["at_ms"] >= last else event for event in events]  # type: ignore[operator]
    assert changed != events
    before = lists_of(write_log(tmp_path / "a", events), tmp_path / "la", whole).whole("train")
    after = lists_of(write_log(tmp_path / "b", changed), tmp_path / "lb", whole).whole("train")
    kept = np.flatnonzero(before.times <= last)
    assert len(kept) > 100
    assert same(before.chosen(kept), after.chosen(np.flatnonzero(after.times <= last)), SEEN)


def test_a_list_is_as_of_the_start_of_its_visit(dataset: Dataset) -> None:
    """How long the user was away is told to the minute: a day more or less of the future or the past would show."""
    test, away = dataset.whole("test"), FEATURES.index("user_away")
    for n in range(len(test)):
        user, at_ms = test.users[n], int(test.times[n])
        before = [int(other) for other, whose in zip(test.times, test.users, strict=True) if whose == user]
        earlier = [at for at in before if at < at_ms]
        if not earlier:
            continue
        days = (at_ms // 60_000 - max(earlier) // 60_000) / 1_440
        assert test.features[test.offsets[n], away] == pytest.approx(math.log1p(days), rel=1e-5)
    assert len(test) > len(set(test.users))


def test_what_is_common_is_known_before_the_test(log: Path, dataset: Dataset) -> None:
    first_ms = day_ms(TINY[-1].first)
    baskets = {(event["order_id"], event["item_id"]) for event in shop() if int(str(event["at_ms"])) < first_ms}
    counts = Counter(item for _, item in baskets)
    items = [json.loads(line)["item_id"] for line in (log / "items.jsonl").read_text().splitlines()]
    assert sum(counts.values()) > 100
    assert dataset.purchases_before_test().tolist() == [counts[item] for item in items]


def test_labels_are_what_the_visit_bought(log: Path, dataset: Dataset) -> None:
    orders: dict[int, set[str]] = {}
    for event in shop():
        orders.setdefault(event["at_ms"], set()).add(str(event["item_id"]))  # type: ignore[arg-type]
    test = dataset.whole("test")
    for n in range(len(test)):
        rows = slice(test.offsets[n], test.offsets[n + 1])
        bought = test.items[rows][test.depth[rows] == 3]
        targets = test.targets[test.target_offsets[n] : test.target_offsets[n + 1]]
        assert len(targets) == len(orders[int(test.times[n])])
        assert set(bought) <= set(targets)
        assert set(test.items[rows][test.depth[rows] == 0]).isdisjoint(targets)


def test_splits_hold_their_range_only(dataset: Dataset) -> None:
    for split in TINY:
        times = dataset.whole(split.name).times
        assert times.min() >= day_ms(split.first)
        assert times.max() < day_ms(split.end)


def test_sampled_negatives_stand_for_all(dataset: Dataset, log: Path, tmp_path: Path) -> None:
    full = lists_of(log, tmp_path, Split("train", TINY[0].first, TINY[0].end)).whole("train")
    sampled = dataset.whole("train")
    assert len(sampled.depth) < len(full.depth)
    assert (sampled.depth > 0).sum() == (full.depth > 0).sum()
    assert sampled.weight.sum() == pytest.approx(len(full.depth), rel=1e-5)


def test_the_same_seed_gives_the_same_lists(dataset: Dataset, log: Path, tmp_path: Path) -> None:
    again = lists_of(log, tmp_path)
    assert again.meta == dataset.meta
    assert same(again.whole("train"), dataset.whole("train"), (*SEEN, "depth", "weight", "targets"))


def test_a_batch_is_padded_without_weight(dataset: Dataset) -> None:
    lists = dataset.whole("train")
    sizes = np.diff(lists.offsets)
    one = batch(lists, np.array([sizes.argmin(), sizes.argmax()]))
    padding = one.weight[0] == 0
    assert padding.sum() == sizes.max() - sizes.min()
    assert not one.features[0, padding].any()
    assert not one.item_ids[0, padding].any()
    assert not one.labels[0, padding].any()


def test_households_limit_whose_visits_are_asked_for(log: Path, tmp_path: Path) -> None:
    few = lists_of(log, tmp_path, users=5)
    assert len(set(few.whole("train").users)) == 5


def test_what_is_wrong_is_one_sentence(log: Path, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"events\.jsonl"):
        lists_of(tmp_path, tmp_path / "lists")
    with pytest.raises(Misuse, match="holds no training set"):
        Dataset.open(tmp_path)
    empty = lists_of(log, tmp_path / "empty", Split("train", "2030-01-01", "2030-02-01"))
    with pytest.raises(Misuse, match="split `train` is empty"):
        empty.whole("train")
    stale = json.loads((dataset.folder / "dataset.json").read_text()) | {"features": ["own"]}
    (tmp_path / "dataset.json").write_text(json.dumps(stale))
    with pytest.raises(Misuse, match="other features"):
        Dataset.open(tmp_path)
