"""A topic in memory, with holes and a retention, and a lake whose writer may be killed at any instruction."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from streams.lake.files import LakeFiles
from streams.lake.parts import Part
from streams.lake.read import rows
from streams.lake.rows import Message
from tests.unit.building import T0

TODAY = "2024-11-22"
"""The day after T0's."""


class Killed(Exception):
    """The process ended here."""


class Topic:
    """A `Source` whose partitions grow; `low` is where each begins by now."""

    def __init__(self, partitions: int = 1, topic_id: str = "id-1_/+x") -> None:
        self.topic_id = topic_id
        self.partitions = partitions
        self.logs: list[list[Message]] = [[] for _ in range(partitions)]
        self.ends = [0] * partitions
        self.low = [0] * partitions
        self.before_read: dict[int, int] = {}
        """Retention that comes between the question for the bounds and the reading: by partition the new start."""

    def add(self, partition: int, value: dict[str, Any] | bytes | None, at_ms: int = T0) -> None:
        """Append a message whose key is its user."""
        raw = json.dumps(value).encode() if isinstance(value, dict) else value
        key = value["user_id"].encode() if isinstance(value, dict) and "user_id" in value else None
        self.logs[partition].append(Message(self.ends[partition], key, raw, at_ms))
        self.ends[partition] += 1

    def hole(self, partition: int) -> None:
        """Skip an offset, as a transaction does."""
        self.ends[partition] += 1

    def start(self, partition: int) -> int:
        """Return where the partition begins."""
        return self.low[partition]

    def read(self, partition: int, first: int) -> Iterator[Message]:
        """Yield what is there."""
        if first > self.ends[partition]:
            first = 0
        self.low[partition] = self.before_read.pop(partition, self.low[partition])
        for message in self.logs[partition]:
            if message.offset >= max(first, self.low[partition]):
                yield message

    def there(self) -> set[tuple[int, int]]:
        """Return partition and offset of all that was ever written."""
        return {(p, message.offset) for p, log in enumerate(self.logs) for message in log}


class Mortal(LakeFiles):
    """A lake whose writer is killed after so many changes of its store."""

    def __init__(self, url: str, lives: int) -> None:
        super().__init__(url)
        self.lives = lives

    def _live(self) -> None:
        self.lives -= 1
        if self.lives < 0:
            raise Killed

    def _write(self, path: str, tables: Any) -> None:
        super()._write(path, tables)
        self._live()

    def _rename(self, unfinished: str, path: str) -> None:
        super()._rename(unfinished, path)
        self._live()

    def remove(self, part: Part) -> None:
        """Remove a file, and perhaps end."""
        super().remove(part)
        self._live()


def lake(folder: Path) -> LakeFiles:
    """Return the lake in a folder."""
    return LakeFiles(str(folder))


def places(files: LakeFiles, topic: str = "events") -> list[tuple[int, int]]:
    """Return partition and offset of every row that a reader sees, in its order."""
    return [(row.stream.partition, row.fields["offset"]) for row in rows(files, topic)]


def values(files: LakeFiles, topic: str = "events") -> list[dict[str, Any]]:
    """Return what the rows say, in a reader's order."""
    return [msgspec.json.decode(row.fields["value"]) for row in rows(files, topic)]
