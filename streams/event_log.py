"""An event log as a stream of lines: JSON objects, one a line, plain or gzip, never read whole.

The content decides, not the name: a gzip file is one that begins like one. Line numbers begin at 1 and count blank
lines, so they are what an editor shows. Order is the file's.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from streams.contracts.wire import MAX_MESSAGE_BYTES
from streams.errors import Misuse

EVENTS = "events.jsonl"
ITEMS = "items.jsonl"
HOLDOUT = "holdout.jsonl"
REJECTS = "rejects.jsonl"
"""The files of a folder that `streamrank import` makes; each may have `.gz` behind its name."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_MAX_LINE_BYTES = MAX_MESSAGE_BYTES + 1
"""A longer line comes cut to this length, which every decoder refuses as oversized: memory stays bounded."""


class EventLog:
    """The lines of one file, as pairs of line number and bytes without the newline; blank lines are left out."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is opened when it is iterated over."""
        self.path = path
        self.line = 0
        self._raw: IO[bytes] | None = None
        self._size_bytes = 0

    @property
    def done(self) -> float:
        """How much of the file has been read, from 0 to 1; for a progress bar."""
        if self._raw is None or self._raw.closed or not self._size_bytes:
            return 1.0 if self.line else 0.0
        return min(1.0, self._raw.tell() / self._size_bytes)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Read from the start.

        Raises:
            Misuse: the file can't be read, or its gzip data is damaged or cut; names file and line.
        """
        self.line = 0
        try:
            # Unbuffered, so that its position is what was really taken from it.
            with self.path.open("rb", buffering=0) as self._raw:
                self._size_bytes = self.path.stat().st_size
                yield from self._lines(_plain(self.path, io.BufferedReader(self._raw)))
        except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
            raise Misuse(f"{self.path}:{self.line + 1}: the gzip data is cut or damaged: make the file again") from exc
        except OSError as exc:
            raise Misuse(f"{self.path}: cannot read the log: {exc.strerror}") from exc

    def _lines(self, stream: io.BufferedIOBase) -> Iterator[tuple[int, bytes]]:
        while line := stream.readline(_MAX_LINE_BYTES):
            rest = line
            while len(rest) == _MAX_LINE_BYTES and not rest.endswith(b"\n"):
                rest = stream.readline(_MAX_LINE_BYTES)
            self.line += 1
            if stripped := line.strip():
                yield self.line, stripped


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Return the lines of a log with their numbers.

    Raises:
        Misuse: while iterating, see `EventLog`.
    """
    return iter(EventLog(path))


def find_file(log: Path, name: str) -> Path:
    """Return the file that `log` names: itself, or the file `name` (plain or .gz) in that folder.

    Raises:
        Misuse: there is none, or both.
    """
    if not log.is_dir():
        return log
    found = [path for path in (log / name, log / f"{name}.gz") if path.exists()]
    if not found:
        raise Misuse(f"{log}: no {name} in this folder: make it with `streamrank import`, or name a file")
    if len(found) > 1:
        raise Misuse(f"{log}: both {name} and {name}.gz in this folder: remove the one that is old")
    return found[0]


def _plain(path: Path, stream: io.BufferedReader) -> io.BufferedIOBase:
    start = stream.peek(len(_ZSTD))
    if start.startswith(_ZSTD):
        raise Misuse(f"{path}: a zstd file: unpack it first with `zstd -d`")
    return gzip.open(stream) if start.startswith(_GZIP) else stream
