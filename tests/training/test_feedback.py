"""A list read from joined feedback is the list that was recorded; what can't be learned from is one sentence."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from msgspec.structs import replace

from inference.tensors import HEADS
from streams.contracts.slates import Feedback, Forgotten, Shown
from streams.errors import Misuse
from streams.features.item import digest_of, hashed_id
from tests.training.conftest import ITEMS
from training.dataset import Dataset
from training.feedback import feedback_lists
from training.lists import Lists, joined

NAMES = {hashed_id(digest_of(f"i{n}")): f"i{n}" for n in range(ITEMS)}


@pytest.fixture(scope="module")
def recorded(dataset: Dataset) -> Lists:
    return dataset.whole("validation")


@pytest.fixture(scope="module")
def records(recorded: Lists) -> list[Feedback]:
    """Return what the join would publish of the recorded lists, every slate as long as its candidates."""
    return [record(recorded, n) for n in range(len(recorded))]


def record(lists: Lists, n: int) -> Feedback:
    rows = range(lists.offsets[n], lists.offsets[n + 1])
    at_ms = int(lists.at_ms[n])
    shown = [
        Shown(
            item_id=NAMES[int(lists.item_ids[row])], position=place, propensity=1 / (1 + place),
            features=lists.features[row].tolist(), pairs=lists.pairs[row].tolist(),
            item_code=lists.item_codes[row].tolist(),
            outcome=HEADS[lists.depth[row] - 1] if lists.depth[row] else None,  # type: ignore[arg-type]
            outcome_ms=at_ms + place if lists.depth[row] else None,
        )
        for place, row in enumerate(rows)
    ]  # fmt: skip
    return Feedback(
        feedback_id=f"0-{n}-0", slate_id=f"1-0-{n}", request_id=f"r{n}", user_id=f"u{lists.users[n]}", at_ms=at_ms,
        items=shown, seeds=lists.seeds[n].tolist(), history_ids=lists.history_ids[n].tolist(),
        history_codes=lists.history_codes[n].tolist(), model="ranker/1",
        missed=int(lists.targets[n]) - sum(one.outcome is not None for one in shown),
    )  # fmt: skip


def write(path: Path, records: list[Any]) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in records))
    return path


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_list_of_feedback_equals_the_recorded_one(
    recorded: Lists, records: list[Feedback], tmp_path: Path, form: str
) -> None:
    path = tmp_path / "feedback"
    if form == "jsonl":
        write(path, records)
    else:
        parquet.write_table(pa.Table.from_pylist(msgspec.to_builtins(records)), path)
    parts = list(feedback_lists(path, size=16))
    assert [len(part) for part in parts] == [16, 16, 8]
    lists = joined(parts)
    numbers: dict[int, int] = {}
    assert lists.users.tolist() == [numbers.setdefault(user, len(numbers)) for user in recorded.users.tolist()]
    for field in fields(Lists):
        if field.name not in ("users", "teacher", "position", "propensity"):
            one, other = getattr(lists, field.name), getattr(recorded, field.name)
            assert one.dtype == other.dtype, field.name
            assert np.array_equal(one, other), field.name
    places = np.concatenate([np.arange(size) for size in np.diff(recorded.offsets)])
    assert lists.position is not None
    assert lists.propensity is not None
    assert lists.position.tolist() == places.tolist()
    assert np.array_equal(lists.propensity, (1 / (1 + places)).astype(np.float32))


def test_what_nobody_saw_is_left_out(records: list[Feedback], tmp_path: Path) -> None:
    hidden = [replace(one, seen=False) for one in records[0].items]
    half = replace(
        records[1], items=[*records[1].items[:2], *(replace(one, seen=False) for one in records[1].items[2:])]
    )
    (lists,) = feedback_lists(write(tmp_path / "feedback", [replace(records[0], items=hidden), half, records[2]]))
    (expected,) = feedback_lists(write(tmp_path / "expected", [replace(half, items=records[1].items[:2]), records[2]]))
    assert np.diff(lists.offsets).tolist() == [2, len(records[2].items)]
    assert np.array_equal(lists.features, expected.features)


def test_it_can_be_kept_as_a_shard(records: list[Feedback], tmp_path: Path) -> None:
    (lists,) = feedback_lists(write(tmp_path / "feedback", records))
    lists.save(tmp_path / "train-0000.parquet")
    again = Lists.load(tmp_path / "train-0000.parquet")
    assert again.propensity is not None
    assert np.array_equal(again.propensity, lists.propensity)  # type: ignore[arg-type]


def test_a_repeat_counts_once_and_receipts_are_passed_over(records: list[Feedback], tmp_path: Path) -> None:
    receipt = Forgotten(feedback_id="0-99-0", user_sha256="a" * 64, at_ms=records[0].at_ms)
    (lists,) = feedback_lists(write(tmp_path / "feedback", [*records[:3], receipt, records[1]]))
    assert len(lists) == 3


def test_what_is_wrong_is_one_sentence(records: list[Feedback], tmp_path: Path) -> None:
    plain = msgspec.to_builtins(records[0])
    bought = next(n for n, one in enumerate(plain["items"]) if one.get("outcome"))

    def said(change: dict[str, Any], *, item: dict[str, Any] | None = None) -> str:
        broken = json.loads(json.dumps(plain)) | change
        if item is not None:
            broken["items"][bought] |= item
        with pytest.raises(Misuse) as caught:
            list(feedback_lists(write(tmp_path / "feedback", [records[1], broken])))
        assert "\n" not in str(caught.value)
        return str(caught.value).removeprefix(f"{tmp_path}/feedback:2: ")

    assert said({}, item={"outcome_ms": plain["at_ms"] - 1}).startswith(
        f"$.items[{bought}].outcome_ms: is before the request"
    )
    assert said({}, item={"outcome_ms": None}) == f"$.items[{bought}]: outcome and outcome_ms go together"
    assert said({}, item={"features": [1.0]}).startswith(f"$.items[{bought}].features: has 1 numbers, not ")
    assert said({"seeds": []}).startswith("$.seeds: has 0 numbers")
    assert said({"items": []}).startswith("$.items: is empty")
    assert said({}, item={"propensity": 0.0}).startswith("no feedback: $.items[")
    with pytest.raises(Misuse, match="cannot read the log"):
        list(feedback_lists(tmp_path / "none"))
