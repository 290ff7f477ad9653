"""From the lines of a log to records, numbered as Kafka numbers them. Every process does the same for every line.

A line that carries `_partition` and `_offset` keeps them; otherwise murmur2 of its user decides, and the offsets of a
partition count the lines that lie in it. Only what decides the place is decoded here, the owner of the partition judges
the rest. Invariant: what becomes of a line depends on the lines before it and on nothing else.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from streams.contracts.partition import partition_of
from streams.contracts.wire import AtMs, Id, decode
from streams.decode import Record
from streams.errors import BadEvent, Misuse

_MAX_OFFSET = 2**63 - 1


class Head(Struct, frozen=True, gc=False):
    """What must be known of a line before its partition is; `login` and `partition` may be anything."""

    type: str
    user_id: Id | None = None
    at_ms: AtMs | None = None
    login: Any = None
    partition: Any = None
    log_partition: Annotated[int, Meta(ge=0)] | None = field(name="_partition", default=None)
    log_offset: Annotated[int, Meta(ge=0, le=_MAX_OFFSET)] | None = field(name="_offset", default=None)


_DECODER = msgspec.json.Decoder(Head)


class Router:
    """Gives each line of one log its place; to be asked for every line, in order."""

    def __init__(self, path: Path, partitions: int) -> None:
        self._path = path
        self._partitions = partitions
        self._last = [-1] * partitions
        self.numbered: bool | None = None
        """Whether the lines carry their places, as the first good one says; None before it."""

    def last_offset(self, partition: int) -> int:
        """Return the offset of the last record of a partition, -1 if there was none."""
        return self._last[partition]

    def route(self, number: int, line: bytes) -> tuple[Head, Record] | None:
        """Return a line as a record, None if it repeats the offset of the record before it in its partition.

        Raises:
            BadEvent: the line can't be placed.
            Misuse: offsets fall: the log is not sorted, and any state folded from it would be wrong.
        """
        head = decode(_DECODER, line)
        key, partition = self._place(head)
        if head.at_ms is None:
            raise BadEvent("missing: a log has no Kafka timestamps", "$.at_ms")
        offset = self._offset(number, head, partition)
        if offset is None:
            return None
        self._last[partition] = offset
        return head, Record(partition, offset, key, line, head.at_ms)

    def _place(self, head: Head) -> tuple[bytes | None, int]:
        if head.user_id is not None:
            key = head.user_id.encode()
            return key, partition_of(key, self._partitions)
        if head.type != "tick":
            raise BadEvent("Object missing required field `user_id`")
        partition = head.partition
        if not isinstance(partition, int) or not 0 <= partition < self._partitions:
            raise BadEvent(f"a tick lies in one of the partitions 0 to {self._partitions - 1}", "$.partition")
        return None, partition

    def _offset(self, number: int, head: Head, partition: int) -> int | None:
        if (head.log_partition is None) is not (head.log_offset is None):
            raise BadEvent("`_partition` and `_offset` come together", "$._partition")
        carried = head.log_offset is not None
        if self.numbered is None:
            self.numbered = carried
        if carried is not self.numbered:
            raise BadEvent(f"the first line of this log has {'an' if self.numbered else 'no'} offset", "$._offset")
        last = self._last[partition]
        if head.log_offset is None:
            return last + 1
        if head.log_partition != partition:
            raise BadEvent(
                f"this line lies in partition {head.log_partition}, but among {self._partitions} its user belongs to "
                f"{partition}",
                "$._partition",
            )
        if head.log_offset < last:
            raise Misuse(
                f"{self._path}:{number}: $._offset: {head.log_offset} comes after {last} in partition {partition}: "
                "sort the log by `_offset`"
            )
        return None if head.log_offset == last else head.log_offset
