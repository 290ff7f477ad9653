"""What a run learns from is a whole copy of the lake: the same bytes for the same lake, nothing of the newest slice."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from streams.errors import CannotWrite, Misuse
from streams.evaluation.log import Log
from streams.lake.archive import archive
from streams.lake.files import LakeFiles
from tests.unit.building import DAY, HOUR, T0
from tests.unit.lake.memory import TODAY, Topic, lake
from training.window import FEEDBACK_FILE, Lengths, Window, read_window, write_window

LENGTHS = Lengths(window_ms=10 * DAY, newest_ms=DAY)
ITEM = b'{"item_id": "i", "title": "one"}'


def filled(
    folder: Path, events: list[tuple[dict[str, Any], int]], feedback: tuple[dict[str, Any], ...] = ()
) -> LakeFiles:
    files, topic, joined = lake(folder), Topic(2), Topic(1)
    for n, (event, at_ms) in enumerate(events):
        topic.add(n % 2, event, at_ms)
    for one in feedback:
        joined.add(0, one)
    archive(files, "events", topic, TODAY)
    archive(files, "feedback", joined, TODAY)
    return files


def click(at_ms: int | None, item: str = "i") -> dict[str, Any]:
    event = {"type": "click", "user_id": "u", "item_id": item}
    return event if at_ms is None else event | {"at_ms": at_ms}


def written(files: LakeFiles, folder: Path) -> Window:
    return write_window(files, [ITEM], folder, LENGTHS, max_future_ms=DAY)


def test_it_is_a_log_with_its_catalogue(tmp_path: Path) -> None:
    tick = {"type": "tick", "partition": 0, "at_ms": T0 + 9 * HOUR}
    events = [(click(T0), T0), (click(None), T0 + HOUR), (click(T0 + 2 * HOUR + 2 * DAY), T0 + 2 * HOUR), (tick, T0)]
    window = written(filled(tmp_path / "lake", events), tmp_path / "window")
    assert window == Window(signals=2, feedback=0, items=1, first_ms=T0, latest_ms=T0 + HOUR), (
        "of signals, not of ticks"
    )
    log = Log(tmp_path / "window")
    assert [entry.at_ms for entry in log] == [T0, T0 + HOUR]
    assert log.rejected == 0, "what lies in the future became a dead letter, and isn't here"
    assert [item.item_id for item in log.items()] == ["i"]
    assert read_window(tmp_path / "window") == window


def test_one_clock_that_is_ahead_does_not_empty_the_newest_slice(tmp_path: Path) -> None:
    files = filled(tmp_path / "lake", [(click(T0), T0), (click(T0 + 20 * HOUR), T0 + HOUR)])
    assert written(files, tmp_path / "window").latest_ms == T0 + HOUR


def test_the_same_lake_is_the_same_bytes(tmp_path: Path) -> None:
    files = filled(tmp_path / "lake", [(click(T0 + n), T0 + n) for n in range(9)])
    made = []
    for name in ("a", "b"):
        written(files, tmp_path / name)
        made.append([path.read_bytes() for path in sorted((tmp_path / name).iterdir())])
    assert made[0] == made[1]


def test_of_feedback_there_is_what_came_and_closed_within_the_window(tmp_path: Path) -> None:
    newest_ms = T0 + 1 - DAY

    def joined(name: str, at_ms: int, outcome_ms: int | None) -> dict[str, Any]:
        shown = (
            {"item_id": "i"} if outcome_ms is None else {"item_id": "i", "outcome": "click", "outcome_ms": outcome_ms}
        )
        return {"type": "feedback", "feedback_id": name, "user_id": "u", "at_ms": at_ms, "items": [shown]}

    feedback = (
        joined("older", newest_ms - 10 * DAY - 1, None),
        joined("in", newest_ms - 10 * DAY, None),
        joined("in time", newest_ms - 2, newest_ms - 1),
        joined("late", newest_ms - 2, newest_ms),
        joined("newest", newest_ms, None),
        {"type": "forgotten", "feedback_id": "x", "user_sha256": "0", "at_ms": T0},
    )
    assert written(filled(tmp_path / "lake", [(click(T0), T0)], feedback), tmp_path / "window").feedback == 2
    lines = gzip.decompress((tmp_path / "window" / FEEDBACK_FILE).read_bytes()).splitlines()
    assert [json.loads(line)["feedback_id"] for line in lines] == ["in", "in time"]


def test_what_is_wrong_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="nobody did anything in it yet: nothing to learn from"):
        written(lake(tmp_path / "empty"), tmp_path / "window")
    for n, items in enumerate(("of another version", [{"outcome_ms": "soon"}])):
        other = ({"type": "feedback", "user_id": "u", "at_ms": T0, "items": items},)
        with pytest.raises(Misuse, match="feedback in partition 0 at offset 0 is none of this version"):
            written(filled(tmp_path / f"other {n}", [(click(T0), T0)], other), tmp_path / "window")
    files = filled(tmp_path / "lake", [(click(T0), T0)])
    path = next((tmp_path / "lake" / "topic=events").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(Misuse, match="cut or damaged"):
        written(files, tmp_path / "window")
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite):
        written(files, tmp_path / "file" / "window")
    assert not (tmp_path / "window").exists()
    assert not (tmp_path / ".window.new").exists()
