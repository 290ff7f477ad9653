"""One user a line, `user item item ...`, oldest first (as S3-Rec and RecBole publish Amazon reviews); plain or packed.

There are no times in it, and the order of the users means nothing. So each user's items are taken to be as spread as
chance would have it over the same time, at times drawn by the user's name; events are a second apart in the order of
that, so nothing is much older than anything else. Then at any time some users have just come and some are about to go:
placed evenly, the last of the time would be left to those with the longest sequences, and they would be all that a
ranker is judged by. All signals are clicks. The file is held in memory.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

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
    for _, user, item in sorted(click for one in sequences.items() for click in _spread(*one)):
        yield from untimed.clicks(user, [item])


def _spread(user: str, items: list[str]) -> Iterator[tuple[float, str, str]]:
    """Yield (time, user, item) in order, the times drawn evenly from 0 to 1 by the user's name."""
    drawn = Random(user)  # noqa: S311  # no secret
    for at, item in zip(sorted(drawn.random() for _ in items), items, strict=True):
        yield at, user, item


FORMAT = Format("one user a line, `user item item ...`, oldest first", read)
