"""Brings what a topic holds into the lake: each offset once, whatever happens in between.

Where to read on is what the lake's own listing says, so there is nothing to keep in step with it: a pass that ends at
any instruction has written files or not, and the next one goes on behind the last of them. Kafka's committed offsets
play no part. Offsets that retention took before they came are missing between two files, are counted, and said loudly.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from streams.errors import StreamrankError
from streams.lake.files import LakeFiles
from streams.lake.parts import Part, Stream, ends
from streams.lake.rows import Message, table_of

MAX_ROWS = 100_000
MAX_BYTES = 64 << 20
"""A file has at most so many messages, and about so many bytes of them, which are in memory until it is written."""

log = logging.getLogger(__name__)


class LakeAhead(StreamrankError):
    """The lake holds offsets that the topic doesn't have: Kafka lost records, or the lake is another deployment's."""


class Source(Protocol):
    """One topic as it is on the broker."""

    topic_id: str
    partitions: int

    def start(self, partition: int) -> int:
        """Return the first offset that is there, or would be."""

    def read(self, partition: int, first: int) -> Iterable[Message]:
        """Return the records from `first` on up to the end as it is, in order.

        Those before `start` are left out; where the log ends before `first`, it begins at its start.
        """


@dataclass(slots=True)
class Archived:
    """What a pass did: records and files written, offsets that retention took first."""

    records: int = 0
    files: int = 0
    lost: int = 0


def archive(files: LakeFiles, topic: str, source: Source, today: str) -> Archived:
    """Write all that the topic holds and the lake doesn't, up to what is there now; `today` is an ISO date (UTC).

    Raises:
        LakeAhead: the lake holds more than the topic ever did.
        StreamrankError: broker or lake failed; what was written stays, and the next pass goes on behind it.
    """
    told = Archived()
    last = ends(files.parts())
    for partition in range(source.partitions):
        stream = Stream(topic, source.topic_id, partition)
        _archive(files, source, stream, last.get(stream), today, told)
    return told


def day_of(at_ms: int) -> str:
    """Return the day of a moment, in UTC.

    >>> day_of(1_764_000_000_000)
    '2025-11-24'
    """
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


def _archive(files: LakeFiles, source: Source, stream: Stream, last: Part | None, today: str, told: Archived) -> None:
    expected = source.start(stream.partition) if last is None else last.last + 1
    day = "" if last is None else last.day
    for first, chunk_day, chunk in _chunks(source, stream, expected, day, today, told):
        part = Part(stream, chunk_day, first, chunk[-1].offset)
        files.write(part, [table_of(chunk)])
        told.files += 1
        told.records += len(chunk)


def _chunks(
    source: Source, stream: Stream, expected: int, day: str, today: str, told: Archived
) -> Iterator[tuple[int, str, list[Message]]]:
    """Yield the records of each file with its first offset and its day; days never go back within a stream."""
    chunk: list[Message] = []
    first, size_bytes = expected, 0
    for message in source.read(stream.partition, expected):
        if message.offset < expected:
            raise LakeAhead(
                f"the lake holds {stream.topic} up to offset {expected - 1} of partition {stream.partition}, but "
                "Kafka's log has ended before: name another lake, or find out what Kafka lost"
            )
        came = max(day, min(_day_or(message.timestamp_ms, today), today))
        missing = _lost(source, stream, expected, message.offset) if message.offset > expected else 0
        if chunk and (came != day or missing or len(chunk) >= MAX_ROWS or size_bytes >= MAX_BYTES):
            yield first, day, chunk
            chunk, first, size_bytes = [], expected, 0
        if missing:
            told.lost += missing
            first = expected + missing
        chunk.append(message)
        size_bytes += len(message.value or b"")
        day, expected = came, message.offset + 1
    if chunk:
        yield first, day, chunk


def _lost(source: Source, stream: Stream, expected: int, found: int) -> int:
    """Return how many of the offsets that are missing were lost; the others are holes, which no reader ever saw."""
    lost = max(0, min(source.start(stream.partition), found) - expected)
    if lost:
        log.critical(
            "records were lost: the broker's retention overtook the lake",
            extra={"topic": stream.topic, "partition": stream.partition, "offset": expected, "lost": lost},
        )
    return lost


def _day_or(at_ms: int, today: str) -> str:
    """Return a moment's day, today for what is no time."""
    return day_of(at_ms) if 0 < at_ms < 253_402_300_800_000 else today
