"""The files of a lake by their names, which say all that must be known of them. Pure.

    topic=events/day=2026-11-24/00003-00000000000000000120-00000000000000000250-<topic id>.parquet

is partition 3 from offset 120 up to and with 250. All offsets between are in it, or were never readable (a hole that
transactions leave), or were erased since. What a lake holds is what its listing says at one instant: where files
overlap, each offset counts once, of the file that begins first. So a compacted file takes the place of its parts in
the moment in which it appears.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import quote, unquote

_NAME = re.compile(
    r"topic=(?P<topic>[^/]+)/day=(?P<day>\d{4}-\d\d-\d\d)/"
    r"(?P<partition>\d{5})-(?P<first>\d{20})-(?P<last>\d{20})-(?P<topic_id>[^/]+)\.parquet"
)


class Stream(NamedTuple):
    """A partition of a topic; one that was made anew has another id, and its offsets begin anew."""

    topic: str
    topic_id: str
    partition: int


class Part(NamedTuple):
    """One file: the offsets of a stream from `first` to `last`, both included, which came on one `day` (ISO 8601)."""

    stream: Stream
    day: str
    first: int
    last: int

    @property
    def path(self) -> str:
        """Where it lies in the lake."""
        topic, topic_id, partition = self.stream
        name = (
            f"{partition:05d}-{self.first:020d}-{self.last:020d}-{quote(topic_id, safe='')}"  # an id may have a slash
        )
        return f"topic={topic}/day={self.day}/{name}.parquet"


def part_of(path: str) -> Part | None:
    """Return the file that a path within the lake names, None if it is none of the lake's.

    >>> part_of(Part(Stream("events", "x-1", 3), "2026-11-24", 0, 9).path).stream
    Stream(topic='events', topic_id='x-1', partition=3)
    """
    found = _NAME.fullmatch(path)
    if found is None:
        return None
    stream = Stream(found["topic"], unquote(found["topic_id"]), int(found["partition"]))
    return Part(stream, found["day"], int(found["first"]), int(found["last"]))


def by_stream(parts: Iterable[Part]) -> dict[Stream, list[Part]]:
    """Return the files of each stream that count, by offset; what lies within others is left out."""
    grouped: dict[Stream, list[Part]] = defaultdict(list)
    for part in sorted(parts, key=lambda part: (part.stream, part.first, -part.last)):
        kept = grouped[part.stream]
        if not kept or part.last > kept[-1].last:
            kept.append(part)
    return dict(grouped)


def ends(parts: Iterable[Part]) -> dict[Stream, Part]:
    """Return the last file of each stream: the next offset to archive is the one behind it."""
    return {stream: kept[-1] for stream, kept in by_stream(parts).items()}


def offsets(parts: Iterable[Part]) -> int:
    """Return how many offsets the files have, those among them that were holes or are erased."""
    return sum(part.last - part.first + 1 for kept in by_stream(parts).values() for part in kept)


def lost(parts: Iterable[Part]) -> int:
    """Return how many offsets between the first and the last of each stream no file has."""
    return sum(
        max(0, after.first - before.last - 1) for kept in by_stream(parts).values() for before, after in pairwise(kept)
    )
