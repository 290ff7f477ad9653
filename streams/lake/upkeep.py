"""Keeps a lake small: old days go, small files of a closed day become one, and who asked for it is forgotten.

All of it may end at any instruction, and is done again from what the lake then holds. A stream's last file keeps its
name for ever, be it without rows: it says where to read on.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute

from streams.contracts.topics import EVENTS
from streams.lake.files import ROWS, LakeFiles
from streams.lake.parts import Part, Stream, by_stream
from streams.lake.rows import FORGET, SCHEMA, with_metadata

COMPACT_BYTES = 256 << 20
"""Files are put together up to about so many bytes."""
ALIAS = "alias"
_JUDGED = ["offset", "kafka_ms", "at_ms", "type", "user_id", "login"]
"""Columns by which it is decided whether a row stays."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A `forget`: who, where it lies, Kafka's time of it, and its own, which is never later."""

    user_id: str
    stream: Stream
    offset: int
    kafka_ms: int
    at_ms: int

    def is_after(self, row: dict[str, Any], stream: Stream) -> bool:
        """Tell whether a row is of before. A worker that lags publishes feedback of before it after it."""
        if stream == self.stream:
            return bool(row["offset"] < self.offset)
        return row["kafka_ms"] <= self.kafka_ms or (row["at_ms"] is not None and row["at_ms"] <= self.at_ms)


def sweep(files: LakeFiles) -> None:
    """Remove what was left unfinished, and what lies within other files. Readers on it look again."""
    files.sweep()
    parts = files.parts()
    kept = {part for some in by_stream(parts).values() for part in some}
    for part in parts:
        if part not in kept:
            files.remove(part)


def expire(files: LakeFiles, days: int, today: str) -> int:
    """Take out what is older than so many days; return how many files lost their rows."""
    oldest = (date.fromisoformat(today) - timedelta(days=days)).isoformat()
    expired = 0
    for parts in by_stream(files.parts()).values():
        for part in parts:
            if part.day >= oldest:
                continue
            if part != parts[-1]:
                files.remove(part)
            elif any(table.num_rows for table in files.tables(part, ["offset"])):
                files.write(part, [with_metadata(SCHEMA.empty_table())])
            else:
                continue
            expired += 1
    return expired


def compact(files: LakeFiles, today: str) -> int:
    """Put the small files of each closed day together; return how many became part of others."""
    compacted = 0
    for parts in by_stream(files.parts()).values():
        for some in _neighbours(files, [part for part in parts if part.day < today]):
            whole = some[0]._replace(last=some[-1].last)
            files.write(whole, _joined(files, some))
            for part in some:
                files.remove(part)
            compacted += len(some)
    return compacted


def forget(files: LakeFiles) -> int:
    """Erase all rows of those who asked for it, from before they did, and their asking; return how many asked.

    A history that an alias moved to them goes, too. First the rows go, then the aliases, then the askings: so an
    erasure that was cut off is begun again, and knows all that it has to do.
    """
    parts = [part for some in by_stream(files.parts()).values() for part in some]
    asking = [part for part in parts if part.stream.topic == EVENTS and files.forgets(part)]
    asked = list(_asked(files, asking))
    if not asked:
        return 0
    everyone = _with_aliases(files, parts, asked)
    for kept in ((FORGET, ALIAS), (FORGET,)):
        for part in parts:
            _rewrite(files, part, lambda row: row["type"] not in kept and _is_of(row, part.stream, everyone))  # noqa: B023
    done = {(one.stream, one.offset) for one in asked}
    for part in asking:
        _rewrite(files, part, lambda row: (part.stream, row["offset"]) in done)  # noqa: B023
    return len(asked)


def _asked(files: LakeFiles, parts: Iterable[Part]) -> Iterator[Forgotten]:
    for part in parts:
        for table in files.tables(part, _JUDGED):
            for row in table.to_pylist():
                if row["type"] == FORGET and row["user_id"] is not None:
                    kafka_ms = row["kafka_ms"]
                    at_ms = kafka_ms if row["at_ms"] is None else min(row["at_ms"], kafka_ms)
                    yield Forgotten(row["user_id"], part.stream, row["offset"], kafka_ms, at_ms)


def _with_aliases(files: LakeFiles, parts: Iterable[Part], asked: list[Forgotten]) -> dict[str, list[Forgotten]]:
    """Return what was asked by each user; whoever became one of them asked for the same."""
    by_user: dict[str, list[Forgotten]] = {}
    for one in asked:
        by_user.setdefault(one.user_id, []).append(one)
    everyone = {user: list(some) for user, some in by_user.items()}
    for part in parts:
        for table in files.tables(part, ["user_id", "login", "kafka_ms"]):
            for row in table.to_pylist():
                later = [one for one in by_user.get(row["login"], ()) if row["kafka_ms"] <= one.kafka_ms]
                if later and row["user_id"] is not None:
                    everyone.setdefault(row["user_id"], []).extend(later)
    return everyone


def _is_of(row: dict[str, Any], stream: Stream, everyone: dict[str, list[Forgotten]]) -> bool:
    """Tell whether a row is of somebody who asked later."""
    asked = (*everyone.get(row["user_id"], ()), *everyone.get(row["login"], ()))
    return any(one.is_after(row, stream) for one in asked)


def _rewrite(files: LakeFiles, part: Part, goes: Callable[[dict[str, Any]], bool]) -> None:
    """Write a file without some of its rows, if it has such; a row group at a time is in memory."""
    masks, forgets = [], 0
    for table in files.tables(part, _JUDGED):
        found = table.to_pylist()
        masks.append([not goes(row) for row in found])
        forgets += sum(stays and row["type"] == FORGET for stays, row in zip(masks[-1], found, strict=True))
    if all(map(all, masks)):
        return
    groups = zip(files.tables(part), masks, strict=True)
    files.write(part, (with_metadata(table.filter(pa.array(mask, pa.bool_())), forgets) for table, mask in groups))


def _neighbours(files: LakeFiles, parts: list[Part]) -> Iterator[list[Part]]:
    """Yield runs of at least two files of one day without a gap between them, small enough together."""
    for _, same_day in groupby(parts, key=lambda part: part.day):
        run: list[Part] = []
        size_bytes = 0
        for part in same_day:
            own_bytes = files.size_bytes(part)
            if run and (part.first > run[-1].last + 1 or size_bytes + own_bytes > COMPACT_BYTES):
                if len(run) > 1:
                    yield run
                run, size_bytes = [], 0
            run.append(part)
            size_bytes += own_bytes
        if len(run) > 1:
            yield run


def _joined(files: LakeFiles, parts: list[Part]) -> Iterator[Any]:
    """Yield the rows of files one after the other, each offset once, a row group's worth at a time."""
    forgets = sum(files.forgets(part) for part in parts)
    waiting, last = SCHEMA.empty_table(), -1
    for part in parts:
        for table in files.tables(part):
            waiting = pa.concat_tables([waiting, table.filter(compute.greater(table.column("offset"), last))])
            if len(waiting) >= ROWS:
                yield with_metadata(waiting, forgets)
                waiting = SCHEMA.empty_table()
        last = part.last
    yield with_metadata(waiting, forgets)
