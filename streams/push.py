"""When a user gets a slate that nobody asked for: after a telling event, and not too often."""

from collections.abc import Mapping

from streams.contracts import events as ev

STALE_AFTER_MS = 10_000
"""An event that is processed later than this after Kafka got it pushes nothing: a backlog is not a live user, and in a
flood requests come first."""
_TYPES: dict[str, type] = {"click": ev.Click, "cart": ev.Cart, "purchase": ev.Purchase, "search": ev.Search}
_LIMIT = 100_000


class Pushes:
    """Remembers, by event time, when each user of a partition was last pushed to; forgets it when restarted."""

    def __init__(self, push_on: frozenset[str], every_ms: int) -> None:
        self._types = frozenset(_TYPES[name] for name in push_on)
        self._every_ms = every_ms
        self._last: dict[str, int] = {}

    def due(self, event: ev.UserEvent, at_ms: int, pushed: Mapping[str, int]) -> bool:
        """Tell whether `event` pushes, unless it is stale; `pushed` are those not committed yet."""
        if type(event) not in self._types:
            return False
        last = pushed.get(event.user_id, self._last.get(event.user_id))
        return last is None or at_ms - last >= self._every_ms

    def update(self, pushed: Mapping[str, int]) -> None:
        """Take in pushes that were committed."""
        self._last.update(pushed)
        while len(self._last) > _LIMIT:
            del self._last[next(iter(self._last))]
