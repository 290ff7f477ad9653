"""One session a line, `item item ...`, oldest first; beside it sessions to complete, `prefix item ... TAB target`.

SRC is a file of sessions, or a folder with one file that has `train` in its name and one that has `test`, as for the
Diginetica data of the CIKM Cup 2016. Users are `s<line>`, those to complete `h<line>`. There are no times in it, but
the order of the sessions is that of time: they begin a minute apart, and their clicks are a second apart.
"""

from collections.abc import Iterator
from pathlib import Path

from streams.errors import Misuse
from streams.event_log import HOLDOUT, read_lines
from streams.imports.base import Format, Line, Selection
from streams.imports.sequences import START_MS, Untimed, words

SESSION_STEP_MS = 60_000


def read(source: str | None, selection: Selection) -> Iterator[Line]:
    """Read sessions, and those to complete if SRC is a folder.

    Raises:
        Misuse: a file is missing, or a line isn't what it should be.
    """
    selection.refuse("sessions")
    if source is None:
        raise Misuse("sessions needs SRC, a file with one session a line, or a folder with a train and a test file")
    folder = Path(source)
    path, untimed = (_only(folder, "train") if folder.is_dir() else folder), Untimed()
    for number, line in read_lines(path):
        if b"\t" in line:
            raise Misuse(f"{path}:{number}: a TAB among the items: is this the file of prefixes and targets?")
        untimed.wait_until(START_MS + number * SESSION_STEP_MS)
        yield from untimed.clicks(f"s{number}", words(path, number, line))
    if folder.is_dir():
        yield from _holdout(_only(folder, "test"))


def _holdout(path: Path) -> Iterator[Line]:
    for number, line in read_lines(path):
        prefix, tab, target = line.partition(b"\t")
        items, targets = words(path, number, prefix), words(path, number, target)
        if not (tab and items and targets):
            raise Misuse(f"{path}:{number}: a line is `prefix item item ... TAB target`, separated by spaces")
        yield Line(HOLDOUT, {"user_id": f"h{number}", "items": items, "targets": targets})


def _only(folder: Path, part: str) -> Path:
    found = [path for path in sorted(folder.iterdir()) if part in path.name]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise Misuse(f"{folder}: one file must have `{part}` in its name, found: {names}")
    return found[0]


FORMAT = Format("one session a line; a folder may hold prefixes with targets, too", read)
