"""Rows of a table as dicts of text or values: CSV (plain, gzip or zstd) or Parquet, with their line or row numbers."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from streams.errors import Misuse
from streams.event_log import needed, read_lines

_BEGINS_JSON = b"{"


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the number and the columns by name of each row; an empty cell of CSV is None.

    Raises:
        Misuse: the file can't be read, or lacks one of `columns`.
    """
    lines = read_lines(path)
    first = next(lines, None)
    if first is None:
        raise Misuse(f"{path}: the file is empty")
    if first[1].startswith(_BEGINS_JSON):
        rows = _objects(path, first, lines)
    else:
        rows = _cells(path, first[1], lines)
    for number, row in rows:
        for column in columns:
            if column not in row:
                raise Misuse(f"{path}:{number}: no column {column!r}; there are {', '.join(map(str, row))}")
        yield number, row


def _objects(
    path: Path, first: tuple[int, bytes], lines: Iterable[tuple[int, bytes]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the rows that `read_lines` made of Parquet, where nulls are left out."""
    try:
        empty = dict.fromkeys(needed("pyarrow.parquet", path).read_schema(path).names)
    except ValueError as exc:
        raise Misuse(f"{path}: neither CSV nor Parquet: are these JSON lines?") from exc
    for number, line in chain((first,), lines):
        yield number, empty | msgspec.json.decode(line)


def _cells(path: Path, header: bytes, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, dict[str, Any]]]:
    (names,) = csv.reader([_text(path, 1, header).removeprefix("\ufeff")])
    for number, line in lines:
        (cells,) = csv.reader([_text(path, number, line)])
        if len(cells) != len(names):
            raise Misuse(f"{path}:{number}: {len(cells)} columns, the header has {len(names)}")
        yield number, {name: cell or None for name, cell in zip(names, cells, strict=True)}


def _text(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as exc:
        raise Misuse(f"{path}:{number}: not UTF-8 text: is it a file of another format?") from exc
