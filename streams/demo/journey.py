"""The imported log, cut at 2017-11-01: a history to warm the state with, and the baskets that are streamed after it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from streams.errors import Misuse
from streams.event_log import EVENTS, find_file, read_lines

CUT_MS = 1_509_494_400_000
"""2017-11-01T00:00Z; what came before it is history."""
WEEK_MS = 7 * 86_400_000


class Line(msgspec.Struct, frozen=True):
    """What the demo must know of a purchase."""

    user_id: str
    item_id: str
    at_ms: int
    order_id: str | None = None

    @property
    def basket(self) -> str:
        """The basket's name; lines without one that came at one time are one basket."""
        return self.order_id or f"{self.user_id}-{self.at_ms}"


@dataclass(frozen=True, slots=True)
class Basket:
    """One shopping trip: its lines, decoded and as they are published, in the log's order."""

    lines: tuple[Line, ...]
    raw: tuple[bytes, ...]

    @property
    def name(self) -> str:
        """The basket's name, unique in the log."""
        return self.lines[0].basket

    @property
    def user_id(self) -> str:
        """Whose it is."""
        return self.lines[0].user_id

    @property
    def at_ms(self) -> int:
        """When it was bought; all lines share it."""
        return self.lines[0].at_ms

    @property
    def items(self) -> frozenset[str]:
        """The different items in it."""
        return frozenset(line.item_id for line in self.lines)


_decode = msgspec.json.Decoder(Line).decode


def history(folder: Path) -> Iterator[tuple[int, bytes, Line]]:
    """Yield number, bytes and content of the lines before the cut."""
    for number, raw in read_lines(find_file(folder, EVENTS)):
        line = _decode(raw)
        if line.at_ms >= CUT_MS:
            return
        yield number, raw, line


def baskets(folder: Path, weeks: int) -> list[Basket]:
    """Return the baskets of so many weeks from the cut on, in order of time.

    Raises:
        Misuse: there is none.
    """
    found: dict[str, list[tuple[Line, bytes]]] = {}
    for _, raw in read_lines(find_file(folder, EVENTS)):
        line = _decode(raw)
        if line.at_ms >= CUT_MS + weeks * WEEK_MS:
            break
        if line.at_ms >= CUT_MS:
            found.setdefault(line.basket, []).append((line, raw))
    if not found:
        raise Misuse(f"none of these households bought anything in the {weeks} weeks from the cut on: draw more")
    return [Basket(*zip(*lines, strict=True)) for lines in found.values()]
