"""What an importer is, and the one place where its lines become files.

An importer turns a source into lines; each is checked here against the wire contract, and what doesn't fit goes to
`rejects.jsonl` with the reason, so every importer keeps the promise that its files can be published as they are.
The files appear under their names only when all are complete, `events.jsonl` last: a folder that has it is whole.
"""

import gzip
import io
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streams.contracts.events import decode_event
from streams.contracts.items import decode_item
from streams.errors import BadEvent, Misuse
from streams.event_log import EVENTS, HOLDOUT, ITEMS, REJECTS

_CHECKS: dict[str, Callable[[bytes], object]] = {ITEMS: decode_item, HOLDOUT: decode_event, EVENTS: decode_event}
_TOLD_EVERY = 10_000
_BUFFER_BYTES = 1 << 20


class Line(NamedTuple):
    """One line for one of the files EVENTS, HOLDOUT or ITEMS. A NaN in it becomes null."""

    file: str
    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """How much of a source to take."""

    users: int | None = None
    """So many users, drawn at random with all their events; None: all."""
    seed: int = 0
    holdout_days: float = 0.0
    """The events of the last so many days go to `holdout.jsonl`; 0: there is no such file."""

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are made, in the order in which they appear."""
        return (ITEMS, REJECTS, *((HOLDOUT,) if self.holdout_days else ()), EVENTS)


@dataclass(frozen=True, slots=True)
class Format:
    """An importer. `read` takes SRC (None if the format needs none); events come in order of time."""

    summary: str
    read: Callable[[str | None, Selection], Iterator[Line]]


def write_folder(
    lines: Iterator[Line],
    folder: Path,
    selection: Selection,
    *,
    packed: bool = False,
    on_lines: Callable[[int], None] = lambda _: None,
) -> Counter[str]:
    """Write the files; return how many lines each got, and under `reason` how many were refused for it.

    `packed` makes them gzip; `on_lines` is told the number of lines now and then.

    Raises:
        Misuse: the folder can't be written, or holds an import in the other form (packed or plain).
    """
    names = {file: f"{file}.gz" if packed else file for file in selection.files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_other_form(folder, packed)
        # In the folder itself: a rename within one file system is all or nothing.
        with tempfile.TemporaryDirectory(prefix=".import-", dir=folder) as temporary:
            made = Path(temporary)
            counts = _write(lines, {file: made / name for file, name in names.items()}, on_lines)
            _publish(made, folder, list(names.values()))
    except OSError as exc:
        raise Misuse(f"{exc.filename or folder}: cannot write the import: {exc.strerror}") from exc
    return counts


def _write(lines: Iterator[Line], paths: Mapping[str, Path], on_lines: Callable[[int], None]) -> Counter[str]:
    encode = msgspec.json.Encoder().encode
    counts: Counter[str] = Counter({file: 0 for file in paths})
    with ExitStack() as open_files:
        streams = {file: open_files.enter_context(_create(path)) for file, path in paths.items()}
        for number, (file, value) in enumerate(lines, 1):
            raw = encode(value)
            try:
                _CHECKS[file](raw)
            except BadEvent as exc:
                counts[f"{exc.path}: {exc.reason}"] += 1
                refused = {"file": file, "reason": exc.reason, "path": exc.path, "line": value}
                file, raw = REJECTS, encode(refused)
            streams[file].write(raw + b"\n")
            counts[file] += 1
            if number % _TOLD_EVERY == 0:
                on_lines(number)
    return counts


def _create(path: Path) -> io.BufferedIOBase:
    if path.suffix == ".gz":
        # Without a time in its header, so the same import is the same file.
        return gzip.GzipFile(path, "wb", compresslevel=6, mtime=0)
    return io.BufferedWriter(io.FileIO(path, "w"), _BUFFER_BYTES)


def _refuse_other_form(folder: Path, packed: bool) -> None:
    for file in (ITEMS, REJECTS, HOLDOUT, EVENTS):
        other = folder / (file if packed else f"{file}.gz")
        if other.exists():
            raise Misuse(f"{other}: left by another import: remove it, or name another folder")


def _publish(made: Path, folder: Path, names: list[str]) -> None:
    for name in names:
        with (made / name).open("rb") as stream:
            os.fsync(stream.fileno())
    # The old events go first and the new ones come last: at no time do they stand beside another import's files.
    for stale in (EVENTS, f"{EVENTS}.gz", HOLDOUT, f"{HOLDOUT}.gz"):
        (folder / stale).unlink(missing_ok=True)
    for name in names:
        (made / name).rename(folder / name)
