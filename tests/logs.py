"""A seeded log of a small shop: every kind of signal, repeats, late events, requests, aliases and forgets."""

import random
from collections.abc import Iterator

import msgspec

from streams.contracts import events as ev

START_MS = 1_760_000_000_000
CURRENCY = "EUR"
_encode = msgspec.json.Encoder().encode


def shop_log(
    events: int, *, users: int = 150, items: int = 120, seed: int = 1, request_every: int = 40
) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of events in order; one in `request_every` is a request with a unique request_id."""
    rng = random.Random(seed)
    sent: list[tuple[bytes, bytes]] = []
    for n in range(events):
        user, at_ms = f"u{rng.randrange(users)}", START_MS + n * 1_000 - rng.randrange(3) * 60_000
        if sent and rng.random() < 0.01:
            yield rng.choice(sent[-20:])  # a producer's repeat
            continue
        if n % request_every == request_every - 1:
            event: ev.UserEvent = ev.Request(
                user_id=user, event_id=f"e{n}", at_ms=at_ms, request_id=f"r{n}", k=rng.randint(1, 10)
            )
        else:
            event = _signal(rng, n, user, at_ms, f"i{min(rng.randrange(items), rng.randrange(items))}")
        pair = user.encode(), _encode(event)
        if event.event_id is not None:
            sent.append(pair)
        yield pair


def _signal(rng: random.Random, n: int, user: str, at_ms: int, item: str) -> ev.UserEvent:
    kind = rng.choices(
        ("view", "click", "cart", "uncart", "purchase", "rating", "review", "search", "impression", "alias", "forget"),
        (40, 20, 10, 3, 15, 3, 2, 4, 2, 0.3, 0.3),
    )[0]
    common = {"type": kind, "user_id": user, "at_ms": at_ms} | ({"event_id": f"e{n}"} if rng.random() < 0.9 else {})
    special: dict[str, dict[str, object]] = {
        "purchase": {"item_id": item, "quantity": rng.randint(1, 3), "price": 9.5, "currency": CURRENCY},
        "rating": {"item_id": item, "value": rng.randint(0, 5)},
        "review": {"item_id": item, "text": "good"},
        "search": {"query": f"query {item}"},
        "impression": {"request_id": f"r{n}", "items": [item]},
        "alias": {"login": f"u{rng.randrange(150)}"},
        "forget": {},
    }
    return msgspec.convert(common | special.get(kind, {"item_id": item}), ev.Event)  # type: ignore[no-any-return]
