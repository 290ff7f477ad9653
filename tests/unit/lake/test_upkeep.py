"""Old days go, small files become one, who asked is forgotten: no reader ever sees a row twice, or misses one."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from streams.lake import files as lake_files
from streams.lake import upkeep
from streams.lake.archive import archive
from streams.lake.files import LakeFiles
from streams.lake.parts import Part, lost
from streams.lake.read import rows
from tests.unit.building import DAY, T0
from tests.unit.lake.memory import TODAY, Killed, Mortal, Topic, lake, places, values

LATER = "2024-12-30"


def filled(folder: Path, passes: int = 4, partitions: int = 2) -> tuple[LakeFiles, Topic]:
    """Return a lake of several small files of one day."""
    topic, files = Topic(partitions), lake(folder)
    for n in range(passes):
        for partition in range(partitions):
            topic.add(partition, {"type": "click", "user_id": f"u{partition}", "item_id": f"i{n}"}, T0 + n)
        archive(files, "events", topic, TODAY)
    return files, topic


def test_small_files_of_a_closed_day_become_one(tmp_path: Path) -> None:
    files, topic = filled(tmp_path)
    before = values(files)
    assert upkeep.compact(files, "2024-11-21") == 0, "the day isn't over"
    assert upkeep.compact(files, TODAY) == 8
    assert len(files.parts()) == 2
    assert values(files) == before
    assert upkeep.compact(files, TODAY) == 0
    assert archive(files, "events", topic, TODAY).records == 0


def test_a_gap_stays_visible(tmp_path: Path) -> None:
    files, topic = filled(tmp_path, partitions=1)
    for n in range(4):
        topic.add(0, {"type": "click", "user_id": "u", "item_id": f"j{n}"}, T0)
    topic.low[0] = 6
    archive(files, "events", topic, TODAY)
    upkeep.compact(files, TODAY)
    assert lost(files.parts()) == 2
    assert len(files.parts()) == 2


@pytest.mark.parametrize("lives", range(6))
def test_a_compaction_that_is_cut_off_is_neither_seen_nor_lost(tmp_path: Path, lives: int) -> None:
    files, topic = filled(tmp_path)
    before = values(files)
    with pytest.raises(Killed):
        upkeep.compact(Mortal(str(tmp_path), lives), TODAY)
    assert values(files) == before
    upkeep.sweep(files)
    assert values(files) == before
    upkeep.compact(files, TODAY)
    assert (values(files), len(files.parts())) == (before, 2)
    assert archive(files, "events", topic, TODAY).records == 0


def test_a_reader_on_files_that_are_compacted_goes_on_behind_its_last_row(tmp_path: Path) -> None:
    files, _ = filled(tmp_path)
    reader = rows(files, "events")
    seen = [next(reader) for _ in range(3)]
    upkeep.compact(files, TODAY)
    seen += reader
    assert [(row.stream.partition, row.fields["offset"]) for row in seen] == places(files)


def test_days_that_are_too_old_go_and_what_was_archived_is_not_archived_again(tmp_path: Path) -> None:
    files, topic = filled(tmp_path)
    topic.add(0, {"type": "click", "user_id": "u", "item_id": "new"}, T0 + 30 * DAY)
    archive(files, "events", topic, LATER)
    assert upkeep.expire(files, 10, LATER) == 8
    assert [value["item_id"] for value in values(files)] == ["new"]
    assert upkeep.expire(files, 10, LATER) == 0
    assert archive(files, "events", topic, LATER).records == 0
    assert not any(path.is_file() for path in tmp_path.rglob("*day=2024-11-21/00000-*"))


def forgetting(folder: Path) -> tuple[LakeFiles, Topic]:
    """Return a lake in which `gone`, whom `anon` became, asks to be forgotten, and comes again."""
    topic, files, feedback = Topic(2), lake(folder), Topic(2)
    said = [
        (0, {"type": "click", "user_id": "gone", "item_id": "a"}),
        (1, {"type": "click", "user_id": "anon", "item_id": "b"}),
        (1, {"type": "alias", "user_id": "anon", "login": "gone"}),
        (0, {"type": "click", "user_id": "stays", "item_id": "c"}),
        (0, {"type": "forget", "user_id": "gone"}),
        (0, {"type": "click", "user_id": "gone", "item_id": "again"}),
        (1, {"type": "click", "user_id": "anon", "item_id": "another person"}),
    ]
    for n, (partition, event) in enumerate(said):
        topic.add(partition, event, T0 + n)
        feedback.add(0, {"type": "feedback", "user_id": event["user_id"], "items": []}, T0 + n)
        archive(files, "events", topic, TODAY)
        archive(files, "feedback", feedback, TODAY)
    return files, topic


LEFT = ["c", "again", "another person"]


def test_who_asked_for_it_is_forgotten_with_the_asking(tmp_path: Path) -> None:
    files, topic = forgetting(tmp_path)
    assert upkeep.forget(files) == 1
    assert [value["item_id"] for value in values(files)] == LEFT
    # Feedback of the asking's own millisecond is of before it.
    assert [value["user_id"] for value in values(files, "feedback")] == ["stays", "gone", "anon"]
    assert upkeep.forget(files) == 0
    assert archive(files, "events", topic, TODAY).records == 0


def test_feedback_of_before_the_asking_goes_when_it_comes_after_it(tmp_path: Path) -> None:
    files, topic, feedback = lake(tmp_path), Topic(), Topic()
    topic.add(0, {"type": "forget", "user_id": "gone", "at_ms": T0 + 5}, T0 + 9)
    for at_ms in (T0 + 5, T0 + 6):  # of a worker that lags
        feedback.add(0, {"type": "feedback", "user_id": "gone", "at_ms": at_ms, "items": []}, T0 + 60_000)
    archive(files, "events", topic, TODAY)
    archive(files, "feedback", feedback, TODAY)
    assert upkeep.forget(files) == 1
    assert [value["at_ms"] for value in values(files, "feedback")] == [T0 + 6]


@pytest.mark.parametrize("lives", range(14))
def test_an_erasure_that_is_cut_off_is_done_by_the_next(tmp_path: Path, lives: int) -> None:
    files, _ = forgetting(tmp_path)
    with pytest.raises(Killed):
        upkeep.forget(Mortal(str(tmp_path), lives))
    upkeep.sweep(files)
    upkeep.forget(files)
    assert [value["item_id"] for value in values(files)] == LEFT
    assert len(values(files, "feedback")) == 3


def test_a_compacted_file_knows_who_asked(tmp_path: Path) -> None:
    files, _ = forgetting(tmp_path)
    upkeep.compact(files, TODAY)
    assert upkeep.forget(files) == 1
    assert [value["item_id"] for value in values(files)] == LEFT


class Weighing(LakeFiles):
    """A lake that notes how many rows it was given at a time."""

    def write(self, part: Part, tables: Iterable[Any]) -> None:
        def weighed() -> Iterable[Any]:
            for table in tables:
                self.given.append(len(table))
                yield table

        super().write(part, weighed())

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.given: list[int] = []


def test_an_erasure_holds_a_row_group_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_files, "ROWS", 2)
    topic, files = Topic(), Weighing(str(tmp_path))
    for n in range(9):
        topic.add(0, {"type": "click", "user_id": f"u{n % 2}", "item_id": f"i{n}"}, T0)
    topic.add(0, {"type": "forget", "user_id": "u1"}, T0)
    archive(files, "events", topic, TODAY)
    files.given.clear()
    assert upkeep.forget(files) == 1
    assert [value["item_id"] for value in values(files)] == ["i0", "i2", "i4", "i6", "i8"]
    assert max(files.given) <= 2


def test_a_forgotten_name_is_nowhere_in_the_lake(tmp_path: Path) -> None:
    topic, files = Topic(), lake(tmp_path)
    topic.add(0, b"no json of " + json.dumps("somebody").encode())
    topic.logs[0][0] = topic.logs[0][0]._replace(key=b"somebody")
    topic.add(0, {"type": "forget", "user_id": "somebody"}, T0 + 1)
    archive(files, "events", topic, TODAY)
    upkeep.forget(files)
    assert values(files) == []
    assert not any(b"somebody" in path.read_bytes() for path in tmp_path.rglob("*.parquet"))
