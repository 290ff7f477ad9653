"""What a replay must know of a line, and whether it is wanted: the worker judges the rest.

Only the fields that are needed are decoded, so a line with an error elsewhere still goes out and becomes a dead letter
that names it.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from streams.contracts import topics
from streams.contracts.wire import AtMs, Id


class EventHead(msgspec.Struct, frozen=True):
    """What must be known of an event."""

    user_id: Id
    at_ms: AtMs | None = None
    type: Any = None

    @property
    def key(self) -> str:
        """The message key."""
        return self.user_id


class ItemHead(msgspec.Struct, frozen=True):
    """What must be known of an item; it has no time and no type."""

    item_id: Id
    at_ms: None = None
    type: None = None

    @property
    def key(self) -> str:
        """The message key."""
        return self.item_id


Head = EventHead | ItemHead
HEADS: dict[str, msgspec.json.Decoder[Any]] = {
    topics.EVENTS: msgspec.json.Decoder(EventHead),
    topics.ITEMS: msgspec.json.Decoder(ItemHead),
}
"""The decoder of a line's head by topic."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are wanted: those that fit all that is given; nothing given, all are."""

    since_ms: int | None = None
    """No event before it."""
    until_ms: int | None = None
    """No event at it or after."""
    users: frozenset[str] = frozenset()
    types: tuple[str, ...] = ()

    def takes(self, head: Head) -> bool:
        """Tell whether this line is wanted; by time, an event without `at_ms` isn't: it has none to lie in a window."""
        if self.users and head.key not in self.users:
            return False
        if self.types and head.type not in self.types:
            return False
        if self.since_ms is None and self.until_ms is None:
            return True
        if head.at_ms is None or (self.since_ms is not None and head.at_ms < self.since_ms):
            return False
        return self.until_ms is None or head.at_ms < self.until_ms
