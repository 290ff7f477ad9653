"""Each offset is in the lake once; what retention took first is counted; what is wrong is one sentence."""

import logging
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from streams.errors import CannotWrite, Misuse, Unreachable
from streams.event_log import EVENTS, EventLog, find_file
from streams.lake import archive as archiving
from streams.lake.archive import LakeAhead, archive
from streams.lake.files import LakeFiles
from streams.lake.parts import lost, part_of
from streams.lake.read import rows
from tests.unit.building import DAY, T0
from tests.unit.lake.memory import TODAY, Topic, lake, places, values


def click(n: int, **fields: object) -> dict[str, object]:
    return {"type": "click", "user_id": f"u{n % 3}", "item_id": f"i{n}", "at_ms": T0 + n} | fields


def test_a_pass_goes_on_where_the_lake_ends(tmp_path: Path) -> None:
    topic, files = Topic(2), lake(tmp_path)
    for n in range(4):
        topic.add(n % 2, click(n), T0 + n)
    first = archive(files, "events", topic, TODAY)
    for n in range(4, 6):
        topic.add(n % 2, click(n), T0 + n)
    second = archive(files, "events", topic, TODAY)
    third = archive(files, "events", topic, TODAY)
    assert [(told.records, told.files, told.lost) for told in (first, second, third)] == [
        (4, 2, 0),
        (2, 2, 0),
        (0, 0, 0),
    ]
    assert [value["item_id"] for value in values(files)] == [f"i{n}" for n in range(6)], "in the order of Kafka's time"


def test_partitions_are_folders_of_topic_and_day(tmp_path: Path) -> None:
    topic, files = Topic(), lake(tmp_path)
    for n, at_ms in enumerate((T0, T0 + DAY, T0, T0 + 900 * DAY, -1)):
        topic.add(0, click(n), at_ms)
    archive(files, "events", topic, TODAY)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet"))
    # Days never go back within a partition, and none is later than today.
    assert found == [
        f"topic=events/day=2024-11-21/00000-{0:020d}-{0:020d}-id-1_%2F%2Bx.parquet",
        f"topic=events/day=2024-11-22/00000-{1:020d}-{4:020d}-id-1_%2F%2Bx.parquet",
    ]
    assert [part.path for part in files.parts()] == found
    assert not list((tmp_path / ".unfinished").iterdir())
    assert part_of("topic=events/day=2024-11-21/other.parquet") is None


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "MAX_ROWS", 3)
    topic, files = Topic(), lake(tmp_path)
    for n in range(8):
        topic.add(0, click(n))
    assert archive(files, "events", topic, TODAY).files == 3
    assert places(files) == [(0, n) for n in range(8)]


@pytest.mark.parametrize("during", [False, True])
def test_what_retention_took_first_is_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, during: bool
) -> None:
    topic, files = Topic(), lake(tmp_path)
    for n in range(3):
        topic.add(0, click(n))
    archive(files, "events", topic, TODAY)
    for n in range(3, 9):
        topic.add(0, click(n))
    if during:
        topic.before_read[0] = 7
    else:
        topic.low[0] = 7
    with caplog.at_level(logging.CRITICAL):
        assert archive(files, "events", topic, TODAY).lost == 4
    assert [record.__dict__["lost"] for record in caplog.records] == [4]
    assert lost(files.parts()) == 4, "the names of the files say it for ever"
    assert places(files) == [(0, n) for n in (0, 1, 2, 7, 8)]


def test_a_hole_that_no_reader_ever_saw_is_no_loss(tmp_path: Path) -> None:
    topic, files = Topic(), lake(tmp_path)
    topic.add(0, click(0))
    topic.hole(0)
    topic.add(0, click(2))
    topic.hole(0)
    assert archive(files, "events", topic, TODAY).lost == 0
    topic.add(0, click(4))
    assert archive(files, "events", topic, TODAY).records == 1
    assert lost(files.parts()) == 0


def test_a_lake_that_begins_late_lost_nothing(tmp_path: Path) -> None:
    topic, files = Topic(), lake(tmp_path)
    for n in range(5):
        topic.add(0, click(n))
    topic.low[0] = 3
    assert (archive(files, "events", topic, TODAY).lost, lost(files.parts())) == (0, 0)


def test_a_topic_that_was_made_anew_begins_anew(tmp_path: Path) -> None:
    files = lake(tmp_path)
    for at_ms, topic_id in ((T0, "b"), (T0 + 5, "a")):
        topic = Topic(topic_id=topic_id)
        topic.add(0, click(0, item_id=topic_id), at_ms)
        archive(files, "events", topic, TODAY)
    assert [value["item_id"] for value in values(files)] == ["b", "a"]


def test_a_topic_that_ends_before_the_lake_is_refused(tmp_path: Path) -> None:
    topic, files = Topic(), lake(tmp_path)
    for n in range(3):
        topic.add(0, click(n))
    archive(files, "events", topic, TODAY)
    topic.logs[0].pop()
    topic.ends[0] = 2
    with pytest.raises(LakeAhead, match="up to offset 2 of partition 0, but Kafka's log has ended before"):
        archive(files, "events", topic, TODAY)


def test_a_lake_is_a_log(tmp_path: Path) -> None:
    topic, files = Topic(2), lake(tmp_path)
    topic.add(1, {"type": "click", "user_id": "a", "item_id": "i"}, T0)
    topic.add(0, b'{"type": "click",\n "user_id": "b", "item_id": "j", "at_ms": 7}\n', T0 + 1)
    topic.add(0, b"no json\nat all", T0 + 2)
    topic.add(0, None, T0 + 3)
    topic.add(1, b"[1]", T0 + 4)
    archive(files, "events", topic, TODAY)
    (tmp_path / "items.jsonl").write_text("")
    path = find_file(tmp_path, EVENTS)
    log = EventLog(path)
    assert list(log) == [
        (1, b'{"type": "click", "user_id": "a", "item_id": "i","at_ms":%d,"_partition":1,"_offset":0}' % T0),
        (2, b'{"type": "click",  "user_id": "b", "item_id": "j", "at_ms": 7,"_partition":0,"_offset":0}'),
        (3, b"no json at all"),
        (4, b"[1]"),
    ]
    assert log.done == 0.8, "a message without a value is no line"


def test_the_ticks_of_a_replay_hold_nothing_up(tmp_path: Path) -> None:
    """Partition 0 was told the present in the middle of an old log; partition 1 wasn't."""
    topic, files = Topic(2), lake(tmp_path)
    for n in range(6):
        topic.add(n % 2, click(n), T0 + n)
        if n == 2:
            topic.add(0, {"type": "tick", "partition": 0}, T0 + DAY)
    archive(files, "events", topic, TODAY)
    seen = [value.get("item_id", "tick") for value in values(files)]
    assert [name for name in seen if name != "tick"] == [f"i{n}" for n in range(6)]


def test_outcomes_are_counted(tmp_path: Path) -> None:
    topic, files = Topic(), lake(tmp_path)
    shown = [{"item_id": "a"}, {"item_id": "b", "outcome": "cart"}, {"item_id": "c", "outcome": "click"}]
    topic.add(0, {"type": "feedback", "user_id": "u", "items": shown})
    topic.add(0, {"type": "forgotten"})
    archive(files, "feedback", topic, TODAY)
    assert [row.fields["labels"] for row in rows(files, "feedback", columns=["labels"])] == [2, 0]


def test_rows_behind_an_offset_are_those_and_no_others(tmp_path: Path) -> None:
    topic, files = Topic(), lake(tmp_path)
    for n in range(5):
        topic.add(0, click(n))
    archive(files, "events", topic, TODAY)
    (stream,) = {row.stream for row in rows(files, "events")}
    assert [row.fields["offset"] for row in rows(files, "events", {stream: 2})] == [3, 4]


def test_any_store_of_fsspec_will_do() -> None:
    files, topic = LakeFiles("memory://lakes/one"), Topic()
    topic.add(0, click(0))
    archive(files, "events", topic, TODAY)
    assert places(files) == [(0, 0)]
    assert archive(files, "events", topic, TODAY).records == 0


class Refusing(MemoryFileSystem):
    """A store whose errors are its own, as those of S3 are."""

    protocol = "refusing"

    def find(self, path: str, *_: Any, **__: Any) -> Any:
        raise LookupError("no credentials\nsee the manual")

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        raise LookupError("no credentials")


def test_a_store_that_refuses_is_one_sentence_without_its_password() -> None:
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    files, topic = LakeFiles("refusing://ann:secret@bucket/lake/"), Topic()
    topic.add(0, click(0))
    with pytest.raises(Unreachable, match=r"^lake: refusing://bucket/lake: cannot be read: no credentials$"):
        archive(files, "events", topic, TODAY)
    with pytest.raises(CannotWrite, match=r"^lake: refusing://bucket/lake/items.jsonl: cannot be written: no cred"):
        files.write_bytes("items.jsonl", b"")
    with pytest.raises(Misuse, match=r"^lake: nostore://x: "):
        LakeFiles("nostore://ann:secret@x")


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"^lake: nostore://x: "):
        LakeFiles("nostore://x")
    topic = Topic()
    topic.add(0, click(0))
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="cannot be written"):
        archive(lake(tmp_path / "file" / "lake"), "events", topic, TODAY)
    files = lake(tmp_path / "lake")
    archive(files, "events", topic, TODAY)
    (path,) = (tmp_path / "lake").rglob("*.parquet")
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:40] + bytes(40) + whole[80:]):
        path.write_bytes(damaged)
        with pytest.raises(Misuse, match="cut or damaged") as caught:
            list(rows(files, "events"))
        assert "\n" not in str(caught.value)
    parquet.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(Misuse, match="it is none of a lake, this is version 1"):
        list(rows(files, "events"))
    parquet.write_table(pa.table({"a": [1]}).replace_schema_metadata({"streamrank.lake": "9"}), path)
    with pytest.raises(Misuse, match="it is of version 9 of the lake"):
        list(rows(files, "events"))
