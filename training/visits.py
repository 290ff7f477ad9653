"""The visits of a log: what each user did in one go, which is what a slate shown at its start should have held.

A visit is a run of a user's events without a gap of more than VISIT_GAP_MS; another order begins another visit. An
item's depth is the deepest thing that happened to it: DEPTHS. Since a purchase implies that the item was clicked and
carted, depths are labels of the kind "at least this deep", and in a log of purchases alone all heads learn the same.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from streams.contracts import events as ev
from streams.errors import BadEvent, Misuse

VISIT_GAP_MS = 30 * 60 * 1000
"""A longer pause ends a visit, as it ends a session of the fold."""
DEPTHS: dict[type, int] = {ev.View: 1, ev.Click: 1, ev.Cart: 2, ev.Purchase: 3}
"""Depth of an event, 1 based in the order of the tensor contract's HEADS; a label of head h is depth > h."""
BOUGHT = 3


@dataclass(slots=True)
class Visit:
    """One visit: `line` is the number of its first event in the log, `items` maps each item to its depth."""

    user_id: str
    at_ms: int
    line: int
    items: dict[str, int] = field(default_factory=dict)

    @property
    def bought(self) -> int:
        """Number of different items bought."""
        return sum(depth == BOUGHT for depth in self.items.values())


@dataclass(slots=True)
class _Open:
    """A visit that may go on, with what decides whether it does."""

    visit: Visit
    last_ms: int
    order_id: str | None


def find_visits(lines: Iterable[tuple[int, bytes]]) -> Iterator[Visit]:
    """Yield the visits of a log, given as numbered lines, each when it has ended.

    Raises:
        Misuse: a line is no event, or has no `at_ms`.
    """
    going_on: dict[str, _Open] = {}
    for number, line in lines:
        event = _decode(line, number)
        depth = DEPTHS.get(type(event))
        if depth is None or not isinstance(event, ev.View | ev.Click | ev.Cart | ev.Purchase):
            continue
        at_ms: int = event.at_ms  # type: ignore[assignment]
        user_id, item_id = event.user_id, event.item_id
        order_id = event.order_id if isinstance(event, ev.Purchase) else None
        current = going_on.get(user_id)
        if current is None or _is_over(current, at_ms, order_id):
            if current is not None:
                yield current.visit
            current = going_on[user_id] = _Open(Visit(user_id, at_ms, number), at_ms, order_id)
        current.last_ms = at_ms
        current.order_id = order_id or current.order_id
        items = current.visit.items
        items[item_id] = max(depth, items.get(item_id, 0))
    yield from (one.visit for one in going_on.values())


def day_ms(day: str) -> int:
    """Return the first millisecond (UTC) of a day like "2017-11-01".

    Raises:
        Misuse: it is no such day.
    """
    try:
        return round(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError as exc:
        raise Misuse(f"{day!r} is not a day like 2017-11-01") from exc


def _is_over(current: _Open, at_ms: int, order_id: str | None) -> bool:
    another = order_id is not None and current.order_id is not None and order_id != current.order_id
    return another or at_ms - current.last_ms > VISIT_GAP_MS


def _decode(line: bytes, number: int) -> ev.Event:
    try:
        event = ev.decode_event(line)
    except BadEvent as exc:
        raise Misuse(f"line {number} of the event log is no event: {exc}") from exc
    if event.at_ms is None:
        raise Misuse(f"line {number} of the event log has no at_ms")
    return event
