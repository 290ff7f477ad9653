"""What may be applied next of each partition, and what it means when something else comes.

Records that are applied already are dropped, unless the log ends before what is applied: then it is not the log that
was applied, and new records would be taken for old ones. A gap is sought again once; if it is still there the broker
doesn't have those records any more: what lies before the start of its log was lost to retention and is counted.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from streams.errors import StoreMismatch

log = logging.getLogger(__name__)


class SeekAgain(Exception):
    """What was read doesn't follow what was applied: read it again from there."""


class Expected:
    """The next offset of each owned partition; `start_of` and `end_of` tell where the broker's log begins and ends."""

    def __init__(self, start_of: Callable[[int], Awaitable[int]], end_of: Callable[[int], int]) -> None:
        self._start_of = start_of
        self._end_of = end_of
        self._next: dict[int, int] = {}
        self._sought: set[tuple[int, int]] = set()
        self.lost: dict[int, int] = {}
        """Records lost to retention before the next batch of a partition; empty it when that is committed."""

    @property
    def offsets(self) -> Mapping[int, int]:
        """The next offset by partition."""
        return self._next

    def place(self, offsets: Mapping[int, int]) -> None:
        """Begin anew at these offsets."""
        self._next = dict(offsets)
        self._sought = {(p, at) for p, at in self._sought if offsets.get(p) == at}
        self.lost.clear()

    async def follow(self, partition: int, records: Sequence[Any]) -> Sequence[Any]:
        """Return those records that follow what was taken before, and expect the next after them.

        Raises:
            SeekAgain: there is a gap before them that was not sought yet.
            StoreMismatch: the log ends before what is applied.
        """
        expected = self._next[partition]
        if records[0].offset < expected:
            self._check_end(partition, expected)
            records = [record for record in records if record.offset >= expected]
        if not records:
            return records
        if records[0].offset > expected:
            await self._accept_gap(partition, expected, records[0].offset)
        self._next[partition] = records[-1].offset + 1
        return records

    def _check_end(self, partition: int, expected: int) -> None:
        end = self._end_of(partition)
        if end < expected:
            raise StoreMismatch(
                f"Redis has applied partition {partition} of the events up to offset {expected - 1}, but its log ends "
                f"before {end}: use another key_prefix, or backfill"
            )

    async def _accept_gap(self, partition: int, expected: int, found: int) -> None:
        if (partition, expected) not in self._sought:
            self._sought.add((partition, expected))
            log.warning(
                "offsets are missing, seeking again",
                extra={"partition": partition, "offset": expected, "found": found},
            )
            raise SeekAgain
        lost = max(min(await self._start_of(partition), found) - expected, 0)
        if lost:
            self.lost[partition] = self.lost.get(partition, 0) + lost
            log.critical(
                "records were lost: the broker's retention overtook this worker",
                extra={"partition": partition, "offset": expected, "lost": lost},
            )
        else:
            log.warning("a hole in the log", extra={"partition": partition, "offset": expected, "found": found})
