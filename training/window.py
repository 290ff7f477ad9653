"""What a run learns from: a copy of the lake as it is now, as a folder of logs that nothing changes while it trains."""

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from streams.contracts.topics import EVENTS, FEEDBACK
from streams.contracts.wire import MAX_AT_MS, MIN_AT_MS
from streams.errors import Misuse
from streams.event_log import EVENTS as EVENTS_FILE
from streams.event_log import ITEMS as ITEMS_FILE
from streams.lake.files import LakeFiles
from streams.lake.read import rows
from streams.lake.rows import line
from training.periods import Periods
from training.staged import staged_folder
from training.steps import DEPTHS

FEEDBACK_FILE: Final = "feedback.jsonl.gz"
META_FILE: Final = "window.json"
DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Window:
    """What is in the folder: counts, and the first and the latest time of a signal, which is what is learned from.

    Nothing happened after it came: where a client's clock is ahead, Kafka's time counts for the latest one.
    """

    signals: int
    feedback: int
    items: int
    first_ms: int
    latest_ms: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long window and newest slice are, in ms."""

    window_ms: int
    newest_ms: int

    def periods(self, latest_ms: int, replay: float) -> Periods:
        """Return where they begin, seen from the latest event."""
        newest_from_ms = latest_ms + 1 - self.newest_ms
        return Periods(newest_from_ms - self.window_ms, newest_from_ms, replay)


def write_window(
    files: LakeFiles, items: Iterable[bytes], folder: Path, lengths: Lengths, max_future_ms: int
) -> Window:
    """Write the logs into a folder, whole or not at all; return what is in them.

    What the worker made a dead letter for its time is left out. Of feedback only what came and closed within the window
    is there: the newest slice judges, so nothing of it is learned.

    Raises:
        Misuse: the lake holds no event, or a file of it is damaged.
        CannotWrite: the folder can't be written.
    """
    with staged_folder(folder) as staged:
        signals, first_ms, latest_ms = _write_events(files, staged / f"{EVENTS_FILE}.gz", max_future_ms)
        if not signals:
            raise Misuse(
                f"lake: {files.url}: nobody did anything in it yet: nothing to learn from; let the trainer archive some"
            )
        catalogue = list(items)
        _write(staged / f"{ITEMS_FILE}.gz", catalogue)
        periods = lengths.periods(latest_ms, 0.0)
        feedback = _write(staged / FEEDBACK_FILE, _feedback(files, periods))
        window = Window(signals, feedback, len(catalogue), first_ms, latest_ms)
        (staged / META_FILE).write_bytes(msgspec.json.encode(window))
    return window


def read_window(folder: Path) -> Window | None:
    """Return what `write_window` said of a folder, None if there is none."""
    path = folder / META_FILE
    return msgspec.json.decode(path.read_bytes(), type=Window) if path.is_file() else None


def _write_events(files: LakeFiles, path: Path, max_future_ms: int) -> tuple[int, int, int]:
    """Write the events; return how many are signals, and the first and the latest time of those.

    Requests and ticks come also when nobody does anything.
    """
    count, first_ms, latest_ms = 0, MAX_AT_MS, 0
    with _opened(path) as log:
        for row in rows(files, EVENTS):
            at_ms = _time_of(row.fields, max_future_ms)
            text = line(row.fields, row.stream.partition)
            if at_ms is not None and text is not None:
                log.write(text + b"\n")
                if row.fields["type"] in DEPTHS:
                    count, first_ms = count + 1, min(first_ms, at_ms)
                    latest_ms = max(latest_ms, min(at_ms, row.fields["kafka_ms"]))
    return count, first_ms, latest_ms


def _time_of(fields: Mapping[str, Any], max_future_ms: int) -> int | None:
    kafka_ms: int = fields["kafka_ms"]
    at_ms: int = kafka_ms if fields["at_ms"] is None else fields["at_ms"]
    valid = MIN_AT_MS <= at_ms <= min(MAX_AT_MS, kafka_ms + max_future_ms)
    return at_ms if valid and fields["type"] is not None else None


class _Shown(msgspec.Struct, frozen=True):
    outcome_ms: int | None = None


class _Told(msgspec.Struct, frozen=True):
    """What must be known of a record of feedback: when it was asked for, and what came when."""

    items: list[_Shown]
    at_ms: int


_told = msgspec.json.Decoder(_Told)


def _feedback(files: LakeFiles, periods: Periods) -> Iterable[bytes]:
    for row in rows(files, FEEDBACK):
        if row.fields["type"] != "feedback":
            continue
        try:
            one = _told.decode(row.fields["value"])
        except msgspec.DecodeError as exc:
            where = f"{row.stream.partition} at offset {row.fields['offset']}"
            raise Misuse(f"lake: {files.url}: feedback in partition {where} is none of this version: {exc}") from exc
        times = [one.at_ms, *(shown.outcome_ms for shown in one.items if shown.outcome_ms is not None)]
        if periods.window_from_ms <= one.at_ms and max(times) < periods.newest_from_ms:
            yield row.fields["value"].replace(b"\n", b" ")


def _write(path: Path, lines: Iterable[bytes]) -> int:
    count = 0
    with _opened(path) as log:
        for text in lines:
            log.write(text + b"\n")
            count += 1
    return count


def _opened(path: Path) -> gzip.GzipFile:
    """Open a log to write: the same lines are the same bytes, so a data set of them is found again."""
    return gzip.GzipFile(path, "wb", compresslevel=1, mtime=0)
