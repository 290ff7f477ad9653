"""An event log as a stream of lines: JSON objects, one a line, plain, gzip or zstd, or rows of Parquet; or a lake.

It is never read whole. The content decides, not the name: a gzip file is one that begins like one. Line numbers begin
at 1 and count blank lines, so they are what an editor shows; a row of Parquet is a line. Order is the file's, or that
of `streams/lake/read.py`.
"""

import gzip
import importlib
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import msgspec

from streams.contracts.wire import MAX_MESSAGE_BYTES
from streams.errors import Misuse

EVENTS = "events.jsonl"
ITEMS = "items.jsonl"
HOLDOUT = "holdout.jsonl"
FEEDBACK = "feedback.jsonl"
REJECTS = "rejects.jsonl"
"""The files of a folder that `streamrank import` makes; each may have one of ENDINGS behind its name."""
ENDINGS = ("", ".gz", ".zst", ".parquet")

LAKE_TOPIC = "topic="
"""A lake has a folder for each topic, named so."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_PARQUET = b"PAR1"
_CHUNK_BYTES = 1 << 16
_ROWS = 8_192
"""Rows of Parquet that are in memory at one time."""
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
        self._offsets = 0

    @property
    def done(self) -> float:
        """How much of the file has been read, from 0 to 1; for a progress bar."""
        if self._offsets:
            return min(1.0, self.line / self._offsets)
        if self._raw is None or self._raw.closed or not self._size_bytes:
            return 1.0 if self.line else 0.0
        return min(1.0, self._raw.tell() / self._size_bytes)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Read from the start.

        Raises:
            Misuse: the file can't be read, or its data is damaged or cut; names file and line.
        """
        self.line = 0
        if self.path.is_dir() and self.path.name.startswith(LAKE_TOPIC):
            yield from self._lake()
            return
        try:
            # Unbuffered, so that its position is what was really taken from it.
            with self.path.open("rb", buffering=0) as self._raw:
                self._size_bytes = self.path.stat().st_size
                buffered = io.BufferedReader(self._raw)
                if buffered.peek(len(_PARQUET)).startswith(_PARQUET):
                    yield from self._rows()
                else:
                    yield from self._lines(self._plain(buffered))
        except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
            raise self.damaged("gzip") from exc
        except OSError as exc:
            raise Misuse(f"{self.path}: cannot read the log: {exc.strerror}") from exc

    def _lake(self) -> Iterator[tuple[int, bytes]]:
        needed("fsspec", self.path)
        needed("pyarrow", self.path)
        from streams.lake.files import LakeFiles
        from streams.lake.parts import offsets
        from streams.lake.read import lines

        files, topic = LakeFiles(str(self.path.parent)), self.path.name.removeprefix(LAKE_TOPIC)
        self._offsets = offsets(part for part in files.parts() if part.stream.topic == topic)
        for line in lines(files, topic):
            self.line += 1
            yield self.line, line

    def _plain(self, stream: Any) -> io.BufferedIOBase:
        start = stream.peek(len(_ZSTD))
        if start.startswith(_ZSTD):
            return io.BufferedReader(_Zstd(stream, self))
        return gzip.open(stream) if start.startswith(_GZIP) else stream

    def _rows(self) -> Iterator[tuple[int, bytes]]:
        arrow = needed("pyarrow", self.path)
        import pyarrow.parquet as parquet

        encode = msgspec.json.Encoder().encode
        try:
            for batch in parquet.ParquetFile(self._raw).iter_batches(_ROWS):
                for row in batch.to_pylist():
                    self.line += 1
                    yield self.line, encode({name: value for name, value in row.items() if value is not None})
        except (arrow.ArrowException, TypeError) as exc:
            raise self.damaged("Parquet") from exc

    def damaged(self, kind: str) -> Misuse:
        """Return the error of data that can't be read on, at the line that would be next."""
        return Misuse(f"{self.path}:{self.line + 1}: the {kind} data is cut or damaged: make the file again")

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
    """Return the file that `log` names: itself, or the file `name` (with one of ENDINGS) in that folder.

    Of a lake it is the folder of the topic; its catalogue lies beside it as a file.

    Raises:
        Misuse: there is none, or both.
    """
    if not log.is_dir():
        return log
    topic = log / f"{LAKE_TOPIC}{name.removesuffix('.jsonl')}"
    if topic.is_dir():
        return topic
    found = [path for path in (log / f"{name}{ending}" for ending in ENDINGS) if path.exists()]
    if not found:
        raise Misuse(f"{log}: no {name} in this folder: make it with `streamrank import`, or name a file")
    if len(found) > 1:
        raise Misuse(f"{log}: both {found[0].name} and {found[1].name} in this folder: remove the one that is old")
    return found[0]


def files_of(log: Path) -> list[Path]:
    """Return the files that `find_file` has found: one, or all that a lake has of the topic now."""
    return sorted(log.rglob("*.parquet")) if log.is_dir() else [log]


def needed(package: str, path: Path) -> ModuleType:
    """Import what a file can only be read with.

    Raises:
        Misuse: it isn't installed.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as exc:
        raise Misuse(f"{path}: reading it needs the package {exc.name}: pip install 'streamrank[evaluate]'") from exc


class _Zstd(io.RawIOBase):
    """A zstd stream that says so when it ends in the middle, which the package's own reader doesn't."""

    def __init__(self, stream: Any, log: EventLog) -> None:
        self._zstd: Any = needed("zstandard", log.path)
        self._stream = stream
        self._log = log
        self._frame = self._zstd.ZstdDecompressor().decompressobj()
        self._begun = False
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            packed = self._frame.unused_data or self._stream.read(_CHUNK_BYTES)
            if self._frame.eof:
                self._frame, self._begun = self._zstd.ZstdDecompressor().decompressobj(), False
            if not packed:
                if self._begun:
                    raise self._log.damaged("zstd")
                return 0
            try:
                self._rest = self._frame.decompress(packed)
            except self._zstd.ZstdError as exc:
                raise self._log.damaged("zstd") from exc
            self._begun = not self._frame.eof
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
