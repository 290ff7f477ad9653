"""What a shop under fire sends, seeded: signals of all kinds, requests, repeats, what is no event, changed items.

One in five signals has no `event_id`: only the applied offset keeps such an event from counting twice.
"""

import random
from collections import deque
from dataclasses import dataclass
from itertools import count

import msgspec

from benchmarks.shop import Pair, Shop, Size
from streams.contracts import events as ev
from streams.contracts.items import Item
from streams.contracts.topics import EVENTS, ITEMS

SIZE = Size(items=600, users=400, categories=12, brands=20)
REQUESTS, REPEATS, BAD, CHANGES = 0.02, 0.01, 0.005, 0.005
"""Shares of messages."""
REPEATED_FROM = 40
"""A repeat is of one of so many last messages: near enough for its user's memory of event ids."""
DEADLINE_MS = 2_000
K = 5
KINDS = ("view", "click", "cart", "uncart", "purchase", "search", "rating", "impression", "review", "alias", "forget")
SHARES = (40, 20, 10, 3, 15, 4, 3, 2, 2, 0.3, 0.3)
NO_EVENTS = (
    b"", b"{", b"\xff\xfe", b"[]", b'{"type":"dance","user_id":"user-1"}', b'{"type":"click","user_id":"user-1"}',
    b'{"type":"view","user_id":"user-1","item_id":"sku-1","at_ms":17}',
    b'{"type":"request","user_id":"user-1","request_id":"bad","k":-1}',
)  # fmt: skip
NO_ITEMS = (b"{", b'{"item_id":"another"}', b'{"item_id":"sku-1","price":"dear"}')
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Sent:
    """One message, on `topic` without prefix."""

    topic: str
    key: bytes
    value: bytes | None
    request_id: str | None = None


class Traffic:
    """Draws messages; two of the same seed and clock draw the same."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._numbers = count()
        self._repeatable: deque[Sent] = deque(maxlen=REPEATED_FROM)
        self.shift_ms = 0
        """How far the clocks of the event's producers are off."""

    def catalogue(self) -> list[Pair]:
        """Return every item as it is at the start."""
        return list(Shop(SIZE).catalogue())

    def draw(self, now_ms: int) -> Sent:
        """Draw the next message at this time."""
        chance = self._rng.random()
        if chance < REPEATS and self._repeatable:
            return self._rng.choice(self._repeatable)
        if chance < REPEATS + BAD:
            return Sent(EVENTS, b"user-1", self._rng.choice(NO_EVENTS))
        if chance < REPEATS + BAD + CHANGES:
            return self._item()
        event = self._event(next(self._numbers), now_ms)
        request_id = event.request_id if isinstance(event, ev.Request) else None
        sent = Sent(EVENTS, event.user_id.encode(), _encode(event), request_id)
        if event.event_id is not None:
            self._repeatable.append(sent)
        return sent

    def _event(self, n: int, now_ms: int) -> ev.UserEvent:
        user, at_ms = f"user-{self._drawn(SIZE.users)}", now_ms + self.shift_ms
        common = {"user_id": user, "at_ms": at_ms, "event_id": f"e-{n}"}
        if self._rng.random() < REQUESTS:
            deadline_ms = now_ms + DEADLINE_MS if self._rng.random() < 0.5 else None
            return ev.Request(**common, request_id=f"r-{n}", k=K, deadline_ms=deadline_ms)
        if self._rng.random() < 0.2:
            del common["event_id"]
        kind = self._rng.choices(KINDS, SHARES)[0]
        item = f"sku-{self._drawn(SIZE.items)}"
        fields: dict[str, dict[str, object]] = {
            "purchase": {"item_id": item, "quantity": 1, "price": 9.5, "currency": "EUR"},
            "search": {"query": f"category-{n % SIZE.categories}"},
            "rating": {"item_id": item, "value": self._rng.randint(0, 5)},
            "review": {"item_id": item, "text": "good"},
            "impression": {"request_id": f"r-{n}", "items": [item]},
            "alias": {"login": f"user-{self._drawn(SIZE.users)}"},
            "forget": {},
        }
        values = {"type": kind, **common, **fields.get(kind, {"item_id": item})}
        event: ev.UserEvent = msgspec.convert(values, ev.Event)
        return event

    def _item(self) -> Sent:
        item_id, chance = f"sku-{self._drawn(SIZE.items)}", self._rng.random()
        if chance < 0.2:
            return Sent(ITEMS, b"sku-1", self._rng.choice(NO_ITEMS))
        if chance < 0.3:
            return Sent(ITEMS, item_id.encode(), None)
        item = Item(item_id=item_id, title="changed", brand="brand-1", price=self._rng.randint(1, 900) / 10)
        return Sent(ITEMS, item_id.encode(), _encode(item))

    def _drawn(self, among: int) -> int:
        """Draw a number below `among`, small ones more often."""
        return int(among * self._rng.random() ** 2)
