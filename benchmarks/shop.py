"""A synthetic shop, seeded: a catalogue, a history of events, and visits that end in a request.

Popularity of items and activity of users fall off by a power law; a user keeps to a few categories. Every event has an
`event_id`, as a careful producer's would.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import msgspec

from streams.contracts import events as ev
from streams.contracts.items import Item

Pair = tuple[bytes, bytes]
"""Key and value of a message."""

DAY_MS = 86_400_000
HISTORY_DAYS = 60
_Kind = type[ev.View] | type[ev.Click] | type[ev.Cart] | type[ev.Purchase] | type[ev.Search]
SIGNALS: tuple[tuple[_Kind, float], ...] = (
    (ev.View, 60), (ev.Click, 22), (ev.Cart, 9), (ev.Purchase, 7), (ev.Search, 2),
)  # fmt: skip
"""Kinds of events and their shares."""
SIGNALS_A_VISIT = 3
"""Signals of a user before its request."""
_POPULARITY, _ACTIVITY = 0.8, 0.6
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Size:
    """How large the shop is."""

    items: int = 5_000
    users: int = 5_000
    categories: int = 60
    brands: int = 200


class Shop:
    """Draws events; two shops of the same seed and size draw the same."""

    def __init__(self, size: Size = Size(), seed: int = 1) -> None:
        self.size = size
        self._rng = random.Random(seed)
        self._users = _weights(size.users, _ACTIVITY)
        self._items = _weights(size.items // size.categories, _POPULARITY)
        self._kinds = list(accumulate(share for _, share in SIGNALS))
        self._numbers = 0

    def catalogue(self) -> Iterator[Pair]:
        """Yield every item."""
        size = self.size
        for i in range(size.items // size.categories * size.categories):
            category = i % size.categories
            item = Item(
                item_id=f"sku-{i}",
                title=f"Product {i} of line {i % 97}",
                brand=f"brand-{i * 31 % size.brands}",
                category=[f"department-{category % 8}", f"category-{category}"],
                price=1.0 + i * 7 % 900 / 10,
                currency="EUR",
            )
            yield item.item_id.encode(), _encode(item)

    def history(self, events: int, until_ms: int) -> Iterator[Pair]:
        """Yield signals in order of time, spread over HISTORY_DAYS before `until_ms`."""
        step_ms = HISTORY_DAYS * DAY_MS / events
        for n in range(events):
            yield self.signal(self.user(), int(until_ms - (events - n) * step_ms))

    def user(self) -> int:
        """Draw a user, an active one rather than another."""
        (user,) = self._rng.choices(range(self.size.users), cum_weights=self._users)
        return user

    def signal(self, user: int, at_ms: int) -> Pair:
        """Draw what a user does."""
        (kind, _), user_id = self._rng.choices(SIGNALS, cum_weights=self._kinds)[0], f"user-{user}"
        self._numbers += 1
        common: dict[str, Any] = {"user_id": user_id, "event_id": f"e-{self._numbers}", "at_ms": at_ms}
        category = (user * 7 + int(self._rng.random() ** 2 * 6)) % self.size.categories
        event: ev.UserEvent
        if issubclass(kind, ev.Search):
            event = kind(**common, query=f"category-{category}")
        else:
            (rank,) = self._rng.choices(range(len(self._items)), cum_weights=self._items)
            event = kind(**common, item_id=f"sku-{rank * self.size.categories + category}")
        return user_id.encode(), _encode(event)

    def request(self, user: int, number: int, at_ms: int) -> Pair:
        """Return a request for ten items whose `request_id` is `r-<number>`."""
        user_id = f"user-{user}"
        event = ev.Request(user_id=user_id, request_id=f"r-{number}", at_ms=at_ms, k=10)
        return user_id.encode(), _encode(event)


def _weights(n: int, power: float) -> list[float]:
    return list(accumulate((i + 1) ** -power for i in range(n)))
