"""A log as an evaluation reads it: events in order, each once, with what was wrong counted and the first of it named.

What the worker would make a dead letter is left out here, too, and so is what it writes itself (`tick`, `absorb`). An
event without `at_ms` has no time, as a file knows no Kafka timestamps. A repeat of an event that its user's state would
recognise is left out for everybody: a policy must not learn an item twice, or be asked for what it was just told.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streams.contracts import events as ev
from streams.contracts.items import Item, decode_item
from streams.errors import BadEvent, Misuse
from streams.evaluation.base import Signal
from streams.event_log import EVENTS, ITEMS, find_file, read_lines
from streams.features.user import remember

_KINDS: dict[type, str] = {
    ev.View: "view", ev.Click: "click", ev.Cart: "cart", ev.Purchase: "purchase", ev.Rating: "rating",
    ev.Review: "review",
}  # fmt: skip
"""Events that are signals: the user went for the item. An `uncart` is none."""


class Entry(NamedTuple):
    """One event of a log: the line as it is, decoded, and its time in ms."""

    line: int
    raw: bytes
    event: ev.UserEvent
    at_ms: int


class Log:
    """A file of events, or a folder of `streamrank import` with its catalogue. Every iteration reads it anew."""

    def __init__(self, path: Path) -> None:
        """Find the files.

        Raises:
            Misuse: there is no such file.
        """
        self.path = find_file(path, EVENTS)
        if not self.path.exists():
            raise Misuse(f"{self.path}: no such file or folder: make one with `streamrank import`")
        self._items = find_file(path, ITEMS) if path.is_dir() else None
        self.events = self.rejected = self.repeated = self.late = 0
        """Of the last iteration: events taken, lines that are none, repeats, and events older than one before."""
        self.latest_ms = 0
        """Of the last iteration: the latest time."""
        self.complaints: list[str] = []
        """The first of each kind of trouble, as a sentence."""

    def __iter__(self) -> Iterator[Entry]:
        """Yield the events.

        Raises:
            Misuse: the file can't be read, or not one line of it is an event.
        """
        self.events = self.rejected = self.repeated = self.late = 0
        self.complaints, self.latest_ms = [], 0
        seen: dict[str, bytes] = {}
        for number, raw in read_lines(self.path):
            try:
                event, at_ms = _decode(raw)
            except BadEvent as exc:
                self.rejected += 1
                self._complain(self.rejected, number, f"left out, no event: {exc}")
                continue
            if isinstance(event, ev.Tick | ev.Absorb):
                continue  # Streamrank's own: it makes them anew
            if _clears(event):
                seen.pop(event.user_id, None)
            elif event.event_id is not None:
                ids = remember(seen.get(event.user_id, b""), event.event_id)
                if ids is None:
                    self.repeated += 1
                    self._complain(self.repeated, number, f"left out, $.event_id {event.event_id} was there before")
                    continue
                seen[event.user_id] = ids
            if at_ms < self.latest_ms:
                self.late += 1
                self._complain(self.late, number, "$.at_ms is earlier than before: is the log sorted by time?")
            self.latest_ms = max(self.latest_ms, at_ms)
            self.events += 1
            yield Entry(number, raw, event, at_ms)
        if not self.events:
            first = f" ({self.complaints[0]})" if self.complaints else ""
            raise Misuse(f"{self.path}: holds no event{first}: is it an event log of `streamrank import`?")

    def items(self) -> Iterator[Item]:
        """Yield the catalogue; of a lone file there is none.

        Raises:
            Misuse: a line is no item.
        """
        if self._items is None:
            return
        for number, raw in read_lines(self._items):
            try:
                yield decode_item(raw)
            except BadEvent as exc:
                raise Misuse(f"{self._items}:{number}: no item: {exc}") from exc

    def span_ms(self) -> tuple[int, int]:
        """Return the first and the last time of the events; reads the log."""
        first_ms = min(entry.at_ms for entry in self)
        return first_ms, self.latest_ms

    def _complain(self, count: int, number: int, what: str) -> None:
        if count == 1:
            self.complaints.append(f"{self.path}:{number}: {what}")


def signal(entry: Entry) -> Signal | None:
    """Return the signal that an event is, None if it is none."""
    event = entry.event
    kind = _KINDS.get(type(event))
    if kind is None:
        return None
    basket = event.order_id if isinstance(event, ev.Purchase) and event.order_id else str(entry.at_ms)
    return Signal(event.user_id, event.item_id, entry.at_ms, kind, basket)  # type: ignore[union-attr,arg-type]


def _clears(event: ev.UserEvent) -> bool:
    """Tell whether the user's state is empty afterwards, and with it what it would recognise."""
    return isinstance(event, ev.Forget) or (isinstance(event, ev.Alias) and event.login != event.user_id)


def _decode(raw: bytes) -> tuple[ev.Event, int]:
    event = ev.decode_event(raw)
    if event.at_ms is None:
        raise BadEvent("missing: a file knows no Kafka timestamps", "$.at_ms")
    return event, event.at_ms
