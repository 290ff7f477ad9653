import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.errors import Misuse
from streams.event_log import EVENTS, HOLDOUT, ITEMS, REJECTS, read_lines
from streams.imports import FORMATS, Line, write_folder

ITEM = Line(ITEMS, {"item_id": "i"})
BUY = {"type": "purchase", "user_id": "u", "item_id": "i"}


def _read(path: Path) -> list[Any]:
    return [json.loads(line, parse_constant=pytest.fail) for _, line in read_lines(path)]


def test_every_line_is_written_or_refused_with_its_reason_and_counted(tmp_path: Path) -> None:
    absurd, nan = BUY | {"quantity": 20_000}, BUY | {"quantity": float("nan")}
    bad_item = Line(ITEMS, {"item_id": ""})
    lines = [ITEM, Line(EVENTS, BUY), bad_item, *(Line(EVENTS, bad) for bad in (absurd, absurd, nan))]
    counts = write_folder(iter(lines), tmp_path)
    assert _read(tmp_path / EVENTS) == [BUY]
    assert _read(tmp_path / ITEMS) == [ITEM.value]
    rejects = _read(tmp_path / REJECTS)
    assert [(r["file"], r["path"]) for r in rejects] == [(ITEMS, "$.item_id")] + [(EVENTS, "$.quantity")] * 3
    assert rejects[1]["line"] == absurd
    assert rejects[3]["line"]["quantity"] is None
    assert counts.pop(EVENTS) == counts.pop(ITEMS) == 1
    assert counts.pop(REJECTS) == sum(counts.values()) == 4
    assert counts["$.quantity: Expected `int` <= 10000"] == 2


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_an_import_that_stops_midway_leaves_what_was_there(tmp_path: Path, fault: type[BaseException]) -> None:
    write_folder(iter([ITEM, Line(EVENTS, BUY)]), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken() -> Iterator[Line]:
        yield Line(EVENTS, BUY | {"item_id": "other"})
        raise fault

    with pytest.raises(fault):
        write_folder(broken(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_while_an_import_runs_no_file_has_its_name(tmp_path: Path) -> None:
    def lines() -> Iterator[Line]:
        for _ in range(10):
            yield Line(EVENTS, BUY)
            assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".import-")] == []

    write_folder(lines(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {EVENTS, ITEMS, REJECTS}


def test_the_holdout_of_an_earlier_import_does_not_stay(tmp_path: Path) -> None:
    wanted = {"user_id": "h", "items": ["i"], "targets": ["j"]}
    lines = [Line(EVENTS, BUY), Line(HOLDOUT, wanted)]
    assert write_folder(iter(lines), tmp_path)[HOLDOUT] == 1
    assert _read(tmp_path / HOLDOUT) == [wanted]
    write_folder(iter(lines[:1]), tmp_path)
    assert not (tmp_path / HOLDOUT).exists()


def test_packed_files_are_the_same_each_time_and_do_not_stand_beside_plain_ones(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        write_folder(iter([ITEM, Line(EVENTS, BUY)]), folder, ending=".gz")
    assert (first / "events.jsonl.gz").read_bytes() == (second / "events.jsonl.gz").read_bytes()
    assert json.loads(gzip.decompress((first / "events.jsonl.gz").read_bytes())) == BUY
    with pytest.raises(Misuse, match=r"jsonl\.gz: left by another import"):
        write_folder(iter([ITEM]), first)


def test_a_source_without_a_single_event_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"no event in the source \(1 rows: \$\.item_id"):
        write_folder(iter([Line(EVENTS, BUY | {"item_id": ""})]), tmp_path)
    with pytest.raises(Misuse, match="the source is empty"):
        write_folder(iter([]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misuse, match="file: cannot write the import"):
        write_folder(iter([ITEM]), tmp_path / "file")


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    write_folder((Line(EVENTS, BUY) for _ in range(25_000)), tmp_path, on_lines=told.append)
    assert told == [10_000, 20_000]


def test_every_format_says_what_it_is() -> None:
    assert all(name == name.lower() and format_.summary for name, format_ in FORMATS.items())
    assert "complete-journey" in FORMATS
