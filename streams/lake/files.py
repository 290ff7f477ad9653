"""The files of a lake, in a folder or behind any URL that fsspec knows: listed, read, and written whole or not at all.

A file is written under a name that no reader looks at, through to the disk, and renamed. One process writes at a time
(the trainer's lease sees to it); if two did, their files would overlap, which no reader minds (`parts.py`).
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as parquet

from streams.errors import CannotWrite, MissingServer, Misuse, StreamrankError, Unreachable
from streams.lake.parts import Part, part_of
from streams.lake.rows import FORGETS, FORMAT, SCHEMA, VERSION

UNFINISHED: Final = ".unfinished"
ROWS: Final = 8_192
"""Rows of a row group: what a reader holds of each partition at one time."""


class LakeFiles:
    """One lake by its address. Blocking; methods raise `Unreachable` or `CannotWrite` where its store fails.

    `url` is the address as it may be told: without user and password.
    """

    def __init__(self, url: str) -> None:
        """Find the store.

        Raises:
            Misuse: no store is known by that name.
            MissingServer: its package isn't installed.
        """
        self.url = re.sub(r"(?<=://)[^/]*@", "", url.rstrip("/"))
        try:
            import fsspec

            self._store, self._root = fsspec.core.url_to_fs(url.rstrip("/"))
        except ImportError as exc:
            raise MissingServer(f"lake: {self.url} needs a package that is not installed: {exc}") from exc
        except ValueError as exc:
            raise Misuse(f"lake: {self.url}: {exc}") from exc
        self._local = "file" in self._store.protocol
        self._failures: type[Exception] = OSError if self._local else Exception
        """What the store raises: beyond the local one each has errors of its own."""

    def parts(self) -> list[Part]:
        """Return all files that are there now, those too that lie within others; no two listings are mixed."""
        with self._reading(self.url):
            self._store.invalidate_cache()
            try:
                found = self._store.find(self._root)
            except FileNotFoundError:
                return []
        # A store gives back paths of its own form, of which the end is the name within the lake.
        start = len(str(self._root).rstrip("/")) + 1
        return [part for path in found if (part := part_of(path[start:])) is not None]

    def write(self, part: Part, tables: Iterable[Any]) -> None:
        """Write a file; what had its name is replaced in one instant.

        Raises:
            CannotWrite: nothing new is there.
        """
        unfinished = f"{self._root}/{UNFINISHED}/{part.path.replace('/', '-')}"
        try:
            self._write(unfinished, tables)
            self._rename(unfinished, f"{self._root}/{part.path}")
        except StreamrankError:
            raise
        except self._failures as exc:
            with suppress(self._failures):
                self._store.rm_file(unfinished)
            raise self._cannot_write(part.path, exc) from exc

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write another file beside the topics, in the same way.

        Raises:
            CannotWrite: nothing new is there.
        """
        unfinished = f"{self._root}/{UNFINISHED}/{name}"
        try:
            self._store.makedirs(self._store._parent(unfinished), exist_ok=True)  # noqa: SLF001 (fsspec's own idiom)
            with self._store.open(unfinished, "wb") as file:
                file.write(content)
                self._write_through(file)
            self._rename(unfinished, f"{self._root}/{name}")
        except self._failures as exc:
            raise self._cannot_write(name, exc) from exc

    def tables(self, part: Part, columns: list[str] | None = None) -> Iterator[Any]:
        """Yield a file's rows, a row group at a time.

        Raises:
            FileNotFoundError: it is gone: compacted, or older than the lake keeps.
            Misuse: it is cut or damaged, or of another version of the lake.
        """
        path = f"{self.url}/{part.path}"
        with self._reading(path), self._store.open(f"{self._root}/{part.path}", "rb") as raw, _sound(path):
            with parquet.ParquetFile(raw, page_checksum_verification=True) as file:
                _check(path, file.schema_arrow)
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group, columns=columns, use_threads=False)

    def forgets(self, part: Part) -> int:
        """Return how many `forget` events a file has; raises as `tables`."""
        path = f"{self.url}/{part.path}"
        with self._reading(path), self._store.open(f"{self._root}/{part.path}", "rb") as raw, _sound(path):
            schema = parquet.read_schema(raw)
        _check(path, schema)
        return int(schema.metadata[FORGETS])

    def size_bytes(self, part: Part) -> int:
        """Return how large a file is."""
        with self._reading(part.path):
            return int(self._store.size(f"{self._root}/{part.path}"))

    def remove(self, part: Part) -> None:
        """Remove a file; it may be gone already."""
        with suppress(FileNotFoundError), self._reading(part.path):
            self._store.rm_file(f"{self._root}/{part.path}")

    def sweep(self) -> None:
        """Remove what an interrupted writer left behind. Only the writer may."""
        with self._reading(UNFINISHED), suppress(FileNotFoundError):
            for path in self._store.find(f"{self._root}/{UNFINISHED}"):
                self._store.rm_file(path)

    def _write(self, path: str, tables: Iterable[Any]) -> None:
        self._store.makedirs(self._store._parent(path), exist_ok=True)  # noqa: SLF001 (fsspec's own idiom)
        with self._store.open(path, "wb") as file:
            writer = None
            for table in tables:
                if writer is None:
                    options = {"compression": "zstd", "write_page_checksum": True}
                    writer = parquet.ParquetWriter(file, table.schema, **options)
                writer.write_table(table, ROWS)
            if writer is not None:
                writer.close()
            self._write_through(file)

    def _write_through(self, file: Any) -> None:
        """Have a local disk hold the file before it gets its name; a remote store does so by itself."""
        if self._local:
            file.flush()
            os.fsync(file.fileno())

    def _rename(self, unfinished: str, path: str) -> None:
        folder = self._store._parent(path)  # noqa: SLF001 (fsspec's own idiom)
        self._store.makedirs(folder, exist_ok=True)
        self._store.mv(unfinished, path)
        if self._local:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _cannot_write(self, name: str, exc: Exception) -> CannotWrite:
        return CannotWrite(f"lake: {self.url}/{name}: cannot be written: {_said(exc)}")

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, StreamrankError):
            raise
        except self._failures as exc:
            raise Unreachable(f"lake: {what}: cannot be read: {_said(exc)}") from exc


@contextmanager
def _sound(path: str) -> Iterator[None]:
    """Say of what Arrow can't read which file it is; a store's own errors, which have numbers, go on."""
    try:
        yield
    except (pa.ArrowException, EOFError, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise Misuse(f"{path}: cut or damaged: {_said(exc)}; move it away and put a copy in its place") from exc


def _said(exc: Exception) -> str:
    """Return what an error says, in one line."""
    text = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
    return text.splitlines()[0] if text else type(exc).__name__


def _check(path: str, schema: Any) -> None:
    version = (schema.metadata or {}).get(FORMAT)
    if version != VERSION or not set(SCHEMA.names) <= set(schema.names):
        told = "none of a lake" if version is None else f"of version {version.decode()} of the lake"
        raise Misuse(f"{path}: it is {told}, this is version {VERSION.decode()}: move it away, or read it with its own")
