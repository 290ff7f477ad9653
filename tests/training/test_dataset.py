"""The training set is point in time, bounded, labelled by what came, and says what it is."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import training.recording
from inference.tensors import FEATURES, MAX_ID, RANKER_INPUTS
from streams.errors import Misuse
from streams.evaluation.log import signal
from streams.features.item import digest_of
from tests.training.conftest import LIMITS, lists_of, shop, write_log
from training.dataset import Dataset
from training.lesson import Lesson
from training.lists import Lists, batch
from training.recipe import Limits
from training.sequences import Sequences
from training.splits import choose
from training.steps import Step, find_steps

SEEN = (*(tensor.name for tensor in RANKER_INPUTS), "users")
LABELS = ("depth", "weight", "offsets", "targets")
ALL = Limits(train=10_000, validation=10_000, negatives=0)


def same(one: Lists, other: Lists, names: tuple[str, ...]) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def steps_of(folder: Path, limits: Limits, split: str) -> list[Step]:
    """Return the steps that lists of a split were made for, in their order."""
    signals = enumerate(one for entry in Lesson(folder).entries() if (one := signal(entry)))
    made = choose(find_steps(signals), limits, 1)
    return [one.step for one in made.wanted.values() if one.split == split]


@pytest.fixture(scope="module")
def whole(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return lists_of(log, tmp_path_factory.mktemp("whole"), ALL)


def test_the_future_changes_no_feature(whole: Dataset, log: Path, tmp_path: Path) -> None:
    """Whatever the last tenth of the log comes to, all that was recorded before it stays as it was."""
    first_ms = steps_of(log, ALL, "validation")[0].at_ms
    changed = [event | {"item_id": f"i{n % 2}"} if event["at_ms"] > first_ms else event
               for n, event in enumerate(shop())]  # fmt: skip
    after = lists_of(write_log(tmp_path / "log", changed), tmp_path / "lists", ALL)
    assert after.sequences.items.tolist() != whole.sequences.items.tolist()
    assert len(whole.whole("train")) > 100
    assert same(after.whole("train"), whole.whole("train"), SEEN)
    one, other = after.whole("validation"), whole.whole("validation")
    assert not same(one, other, SEEN)
    first, again = (batch(lists, np.array([0])) for lists in (one, other))
    for name in (tensor.name for tensor in RANKER_INPUTS):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name


def test_a_list_is_as_of_the_start_of_its_step(whole: Dataset, log: Path) -> None:
    """A step's own items are in no history yet, and the step before is: its latest line is the latest item."""
    lists, last = whole.whole("validation"), dict[str, str]()
    expected, wanted = [], {step.number for step in steps_of(log, ALL, "validation")}
    for number, event in enumerate(shop()):
        if number in wanted:
            expected.append(digest_of(last[event["user_id"]]) % MAX_ID + 1)
        last[event["user_id"]] = event["item_id"]
    assert lists.history_ids[:, 0].tolist() == expected


def test_a_list_knows_what_its_user_did_before_the_login(tmp_path: Path) -> None:
    """The basket comes right behind the login, and its list right behind the history that moved."""
    events = shop()
    last = next(n for n, event in enumerate(events) if event["order_id"] == events[-1]["order_id"])
    user, at_ms = events[last]["user_id"], events[last]["at_ms"]
    anonymous = {"user_id": "anonymous", "at_ms": at_ms - 1}
    before = [anonymous | {"type": "click", "item_id": item} for item in ("x1", "x2")]
    login = anonymous | {"type": "alias", "login": user}
    log = write_log(tmp_path / "log", [*events[:last], *before, login, *events[last:]])
    history = lists_of(log, tmp_path, ALL).whole("validation").history_ids[-1]
    assert history[:2].tolist() == [digest_of(item) % MAX_ID + 1 for item in ("x2", "x1")]


def test_labels_are_what_the_step_held(whole: Dataset, log: Path) -> None:
    for split in ("train", "validation"):
        lists, steps = whole.whole(split), steps_of(log, ALL, split)
        assert lists.targets.tolist() == [len(step.items) for step in steps]
        for n, step in enumerate(steps):
            rows = slice(lists.offsets[n], lists.offsets[n + 1])
            came = {digest_of(item) % MAX_ID + 1: depth for item, depth in step.items.items()}
            assert lists.depth[rows].tolist() == [came.get(item, 0) for item in lists.item_ids[rows].tolist()]
    assert set(lists.depth.tolist()) == {0, 3}


def test_requests_of_the_log_change_nothing(log: Path, whole: Dataset, tmp_path: Path) -> None:
    """They were answered by another ranker; their own lists aren't asked for."""
    events = []
    for n, event in enumerate(shop()):
        ask = {"type": "request", "user_id": event["user_id"], "at_ms": event["at_ms"], "request_id": f"step-{n}"}
        events += [ask, event]
    asked = lists_of(write_log(tmp_path / "log", events), tmp_path / "lists", ALL)
    assert {name: asked.meta[name] for name in ("steps", "lists")} == {
        name: whole.meta[name] for name in ("steps", "lists")
    }
    for split in ("train", "validation"):
        assert same(asked.whole(split), whole.whole(split), (*SEEN, *LABELS))


def test_sampled_negatives_stand_for_all(
    whole: Dataset, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.recording, "KEPT_EMPTY", 1.0)
    full = whole.whole("train")
    sampled = lists_of(log, tmp_path, replace(ALL, negatives=20)).whole("train")
    assert len(sampled.depth) < len(full.depth)
    assert (sampled.depth > 0).sum() == (full.depth > 0).sum()
    assert len(sampled) == len(full)
    assert np.add.reduceat(sampled.weight, sampled.offsets[:-1]) == pytest.approx(np.diff(full.offsets), rel=1e-5)


def test_lists_without_a_target_are_thinned_and_weigh_as_much_as_all(log: Path, tmp_path: Path) -> None:
    lists = lists_of(log, tmp_path / "some", replace(ALL, negatives=2), candidates=4).whole("train")
    full = lists_of(log, tmp_path / "all", ALL, candidates=4).whole("train")
    wanted = np.add.reduceat(lists.depth > 0, lists.offsets[:-1])
    weight = np.add.reduceat(lists.weight, lists.offsets[:-1])
    assert set(np.diff(full.offsets).tolist()) == {4}
    assert weight[wanted > 0] == pytest.approx(4, rel=1e-5)
    assert weight[wanted == 0] == pytest.approx(4 / training.recording.KEPT_EMPTY, rel=1e-5)
    assert (wanted > 0).sum() == (np.add.reduceat(full.depth > 0, full.offsets[:-1]) > 0).sum()
    assert 0 < (wanted == 0).sum() < (np.add.reduceat(full.depth, full.offsets[:-1]) == 0).sum()


def test_validation_lists_are_whole(dataset: Dataset, whole: Dataset) -> None:
    lists = dataset.whole("validation")
    assert len(lists) == LIMITS.validation < len(whole.whole("validation"))
    assert np.all(lists.weight == 1)
    assert set(np.diff(lists.offsets).tolist()) <= set(np.diff(whole.whole("validation").offsets).tolist())


def test_the_same_seed_gives_the_same_lists(dataset: Dataset, log: Path, tmp_path: Path) -> None:
    again = lists_of(log, tmp_path / "a")
    assert again.meta == dataset.meta == json.loads((dataset.folder / "dataset.json").read_text())
    for split in ("train", "validation"):
        assert same(again.whole(split), dataset.whole(split), (*SEEN, *LABELS))
    assert not same(lists_of(log, tmp_path / "b", seed=2).whole("train"), dataset.whole("train"), ("users",))


def test_what_it_holds_is_said(dataset: Dataset, log: Path) -> None:
    orders = {event["order_id"] for event in shop()}
    items = {event["item_id"] for event in shop()}
    meta = dataset.meta
    assert (meta["steps"], meta["users"], meta["items"]) == (len(orders), 30, len(items))
    assert meta["lists"] == Counter({split: len(dataset.whole(split)) for split in ("train", "validation")})
    assert meta["features"] == list(FEATURES)
    assert FEATURES


def test_a_batch_is_padded_without_weight(dataset: Dataset) -> None:
    lists = dataset.whole("train")
    sizes = np.diff(lists.offsets)
    one = batch(lists, np.array([sizes.argmin(), sizes.argmax()]))
    padding = one.weight[0] == 0
    assert padding.sum() == sizes.max() - sizes.min() > 0
    for name in ("features", "pairs", "item_ids", "labels"):
        assert not getattr(one, name)[0, padding].any()


def test_what_is_wrong_is_one_sentence(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="split `test` is empty"):
        dataset.paths("test")
    with pytest.raises(Misuse, match="which are too few to learn from"):
        lists_of(write_log(tmp_path / "log", shop()[:1]), tmp_path / "lists")


def test_the_late_part_ends_where_the_validation_lists_begin(whole: Dataset, log: Path) -> None:
    first = steps_of(log, ALL, "validation")[0]
    signals = [one for entry in Lesson(log).entries() if (one := signal(entry))]
    before = Sequences.of(one for one in signals if one.at_ms < first.at_ms)
    assert 0 < len(before.items) < len(whole.sequences.items)
    assert int(whole.sequences.late.sum()) == len(before.items)
