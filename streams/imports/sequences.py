"""One user a line, `user item item ...`, oldest first (as S3-Rec and RecBole publish Amazon reviews); plain or packed.

There are no times in it, and the order of the users means nothing. So all users are taken to have come and gone
together: the place of an item in its sequence, as a share of it, says when it was. Events are a second apart in that
order, so nothing is much older than anything else. All signals are clicks. The file is held in memory.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from streams.errors import Misuse
from streams.event_log import EVENTS, ITEMS, read_lines
from streams.imports.base import Format, Line, Selection

START_MS = 946_684_800_000
"""2000-01-01, when every log without times begins."""
STEP_MS = 1_000


class Untimed:
    """Makes lines of clicks that have no times; each item is listed when it is first met."""

    def __init__(self) -> None:
        self._at_ms = START_MS
        self._items: set[str] = set()

    def clicks(self, user_id: str, item_ids: list[str]) -> Iterator[Line]:
        """Yield a user's next clicks, oldest first."""
        for item_id in item_ids:
            if item_id not in self._items:
                self._items.add(item_id)
                yield Line(ITEMS, {"item_id": item_id})
            click: dict[str, Any] = {"type": "click", "user_id": user_id, "at_ms": self._at_ms, "item_id": item_id}
            yield Line(EVENTS, click)
            self._at_ms += STEP_MS

    def wait_until(self, at_ms: int) -> None:
        """Let the next click be no earlier than that."""
        self._at_ms = max(self._at_ms, at_ms)


def words(path: Path, number: int, line: bytes) -> list[str]:
    """Split a line of ids.

    Raises:
        Misuse: it isn't UTF-8 text, naming file and line.
    """
    try:
        return line.decode().split()
    except UnicodeDecodeError as exc:
        raise Misuse(f"{path}:{number}: not UTF-8 text: is it a file of another format?") from exc


def read(source: str | None, selection: Selection) -> Iterator[Line]:
    """Read a file of sequences.

    Raises:
        Misuse: there is no file, or a line is no sequence.
    """
    selection.refuse("sequences")
    if source is None:
        raise Misuse("sequences needs SRC, a file with one user a line: user item item ...")
    path, untimed = Path(source), Untimed()
    sequences: dict[str, list[str]] = {}
    for number, line in read_lines(path):
        user, *items = words(path, number, line)
        if not items:
            raise Misuse(f"{path}:{number}: a user without items: a line is `user item item ...`, separated by spaces")
        if user in sequences:
            raise Misuse(f"{path}:{number}: user {user} again: a user is one line, oldest item first")
        sequences[user] = items
    users = list(sequences)
    for number, place in _together(users, [len(items) for items in sequences.values()]):
        yield from untimed.clicks(users[number], [sequences[users[number]][place]])


def _together(users: list[str], sizes: list[int]) -> Iterator[tuple[int, int]]:
    """Yield all places of all sequences, (user, place), by their share of the sequence, ties by a hash of the user."""
    owners = np.repeat(np.arange(len(sizes)), sizes)
    places = np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    shares = (places + 0.5) / np.repeat(sizes, sizes)
    hashes = np.array([zlib.crc32(name.encode()) for name in users])[owners]
    order = np.lexsort((owners, hashes, shares))
    yield from zip(owners[order].tolist(), places[order].tolist(), strict=True)


FORMAT = Format("one user a line, `user item item ...`, oldest first", read)
