"""A lake as one log: each offset once, those of a partition in order, partitions merged by Kafka's time.

A file that is gone when its turn comes was compacted, or became too old: the lake is listed anew, and reading goes on
behind the last row.
"""

import heapq
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from streams.errors import StreamrankError
from streams.lake.files import LakeFiles
from streams.lake.parts import Part, Stream, by_stream
from streams.lake.rows import line

TICK = "tick"


class Row(NamedTuple):
    """A row of the lake, `fields` by name, and where it is from."""

    stream: Stream
    fields: Mapping[str, Any]


def rows(
    files: LakeFiles, topic: str, after: Mapping[Stream, int] | None = None, columns: list[str] | None = None
) -> Iterator[Row]:
    """Yield the rows of a topic behind these offsets; with `columns` only those, and `offset`, `kafka_ms` and `type`.

    Raises:
        Misuse: a file is damaged, or none of this version's.
    """
    wanted = columns and [*dict.fromkeys(("offset", "kafka_ms", "type", *columns))]
    parts = by_stream(part for part in files.parts() if part.stream.topic == topic)
    streams = [_Reading(files, stream, (after or {}).get(stream, -1), wanted) for stream in sorted(parts)]
    for _, row in heapq.merge(*(one.timed(parts[one.stream]) for one in streams), key=lambda pair: pair[0]):
        yield row


def lines(files: LakeFiles, topic: str) -> Iterator[bytes]:
    """Yield a topic as the lines of a log, each with its `_partition` and `_offset`; raises as `rows`."""
    for row in rows(files, topic):
        text = line(row.fields, row.stream.partition)
        if text is not None:
            yield text


class _Reading:
    """One stream being read, and how far."""

    def __init__(self, files: LakeFiles, stream: Stream, after: int, columns: list[str] | None) -> None:
        self.stream = stream
        self._files = files
        self._offset = after
        self._columns = columns

    def timed(self, parts: list[Part]) -> Iterator[tuple[tuple[int, Stream, int], Row]]:
        """Yield the rows, each with its place in the merged log: times never fall within a stream.

        A tick is Streamrank's own, of the present: where an old log is replayed, nothing of it is to wait for that.
        """
        latest_ms = 0
        for fields in self._rows(parts):
            if fields["type"] != TICK:
                latest_ms = max(latest_ms, fields["kafka_ms"])
            yield (latest_ms, self.stream, fields["offset"]), Row(self.stream, fields)

    def _rows(self, parts: list[Part]) -> Iterator[Mapping[str, Any]]:
        missed: Part | None = None
        while left := [part for part in parts if part.last > self._offset]:
            try:
                yield from self._of(left[0])
            except FileNotFoundError as exc:
                if left[0] == missed:
                    raise StreamrankError(f"{self._files.url}/{missed.path}: it is listed, but not there") from exc
                missed = left[0]
                parts = by_stream(self._files.parts()).get(self.stream, [])

    def _of(self, part: Part) -> Iterator[Mapping[str, Any]]:
        for table in self._files.tables(part, self._columns):
            for fields in table.to_pylist():
                if fields["offset"] > self._offset:
                    self._offset = fields["offset"]
                    yield fields
        self._offset = max(self._offset, part.last)
