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
from streams.contracts.holdout import decode_holdout
from streams.contracts.items import decode_item
from streams.contracts.slates import decode_feedback
from streams.errors import BadEvent, Misuse
from streams.event_log import ENDINGS, EVENTS, FEEDBACK, HOLDOUT, ITEMS, REJECTS, needed

_CHECKS: dict[str, Callable[[bytes], object]] = {
    ITEMS: decode_item,
    HOLDOUT: decode_holdout,
    FEEDBACK: decode_feedback,
    EVENTS: decode_event,
}
FILES = (ITEMS, REJECTS, HOLDOUT, FEEDBACK, EVENTS)
"""The files that are made, in the order in which they appear."""
_TOLD_EVERY = 10_000
_BUFFER_BYTES = 1 << 20


class Line(NamedTuple):
    """One line for one of the files EVENTS, FEEDBACK, HOLDOUT or ITEMS. A NaN in it becomes null.

    `refused` is the reason why a row of the source became no line: it goes to REJECTS, with the reason.
    """

    file: str
    value: Mapping[str, Any]
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """How much of a source to take."""

    users: int | None = None
    """So many users, drawn at random with all their events; None: all."""
    seed: int = 0
    mapping: str | None = None
    """What the columns of a `table` mean: a shipped mapping's name or a TOML file."""

    def refuse(self, format_name: str) -> None:
        """Refuse what a format can't do that takes all of its source.

        Raises:
            Misuse: users or a mapping were chosen.
        """
        if self.users is not None:
            raise Misuse(f"--households: {format_name} takes all users")
        if self.mapping is not None:
            raise Misuse(f"--mapping: only the format table has one, not {format_name}")


@dataclass(frozen=True, slots=True)
class Format:
    """An importer. `read` takes SRC (None if none was given); events come in order of time."""

    summary: str
    read: Callable[[str | None, Selection], Iterator[Line]]


def write_folder(
    lines: Iterator[Line],
    folder: Path,
    *,
    ending: str = "",
    on_lines: Callable[[int], None] = lambda _: None,
) -> Counter[str]:
    """Write the files; return how many lines each got, and under `reason` how many were refused for it.

    `ending` is ".gz" or ".zst" for packed files; `on_lines` is told the number of lines now and then. Of targets,
    feedback and events there is a file if there are any.

    Raises:
        Misuse: the folder can't be written, or holds an import in another form; or neither an event nor feedback fits.
    """
    names = {file: f"{file}{ending}" for file in FILES}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_other_form(folder, ending)
        # In the folder itself: a rename within one file system is all or nothing.
        with tempfile.TemporaryDirectory(prefix=".import-", dir=folder) as temporary:
            made = Path(temporary)
            counts = _write(lines, {file: made / name for file, name in names.items()}, on_lines)
            if not counts[EVENTS] and not counts[FEEDBACK]:
                raise Misuse(_nothing(folder, counts))
            for file in (HOLDOUT, FEEDBACK, EVENTS):
                if not counts[file]:
                    del names[file], counts[file]
            _publish(made, folder, list(names.values()))
    except OSError as exc:
        raise Misuse(f"{exc.filename or folder}: cannot write the import: {exc.strerror}") from exc
    return counts


def _write(lines: Iterator[Line], paths: Mapping[str, Path], on_lines: Callable[[int], None]) -> Counter[str]:
    encode = msgspec.json.Encoder().encode
    counts: Counter[str] = Counter({file: 0 for file in paths})
    with ExitStack() as open_files:
        streams = {file: open_files.enter_context(_create(path)) for file, path in paths.items()}
        for number, (file, value, refused) in enumerate(lines, 1):
            raw, path = encode(value), ""
            if refused is None:
                try:
                    _CHECKS[file](raw)
                except BadEvent as exc:
                    refused, path = exc.reason, exc.path
            if refused is not None:
                counts[f"{path}: {refused}" if path else refused] += 1
                reject = {"file": file, "reason": refused, "path": path, "line": value}
                file, raw = REJECTS, encode(reject)
            streams[file].write(raw + b"\n")
            counts[file] += 1
            if number % _TOLD_EVERY == 0:
                on_lines(number)
    return counts


def _create(path: Path) -> io.BufferedIOBase:
    if path.suffix == ".zst":
        zstd = needed("zstandard", path)
        return io.BufferedWriter(zstd.ZstdCompressor().stream_writer(path.open("wb")), _BUFFER_BYTES)
    if path.suffix == ".gz":
        # Without a time in its header, so the same import is the same file.
        return gzip.GzipFile(path, "wb", compresslevel=6, mtime=0)
    return io.BufferedWriter(io.FileIO(path, "w"), _BUFFER_BYTES)


def _nothing(folder: Path, counts: Counter[str]) -> str:
    reasons = Counter({reason: n for reason, n in counts.items() if reason not in FILES})
    why = "; ".join(f"{n:,} rows: {reason}" for reason, n in reasons.most_common(3)) or "the source is empty"
    return f"{folder}: not written, as there is no event in the source ({why})"


def _refuse_other_form(folder: Path, ending: str) -> None:
    for file in FILES:
        for other in (folder / f"{file}{form}" for form in ENDINGS if form != ending):
            if other.exists():
                raise Misuse(f"{other}: left by another import: remove it, or name another folder")


def _publish(made: Path, folder: Path, names: list[str]) -> None:
    for name in names:
        with (made / name).open("rb") as stream:
            os.fsync(stream.fileno())
    # The old events go first and the new ones come last: at no time do they stand beside another import's files.
    for stale in (f"{file}{form}" for file in (EVENTS, FEEDBACK, HOLDOUT) for form in ENDINGS):
        (folder / stale).unlink(missing_ok=True)
    for name in names:
        (made / name).rename(folder / name)
