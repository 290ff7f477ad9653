"""The fold of a user: `fold(state, event, at_ms) -> state`, pure and bounded.

Live worker, simulator and training call this same function, so a model is trained on what it is served.

State knows nothing of the catalogue: what an item is, is joined when the state is encoded. Time comes from events
alone; late ones count at their own time. `fold` returns `state` itself, and only then, for a repeat of an event.
"""

import hashlib
import zlib
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from streams.contracts import events as ev
from streams.contracts.wire import MAX_AT_MS, Id
from streams.features import touch as t

FOLD_VERSION = 2
"""Raise it when packed states of before can't be read or mean something else: a worker then refuses to start."""
MAX_ITEMS = 1_000
"""Items remembered of a user; the one touched longest ago goes first."""
MAX_CART = 50
MAX_QUERIES = 5
MAX_QUERY_LENGTH = 64
MAX_SEEN = 32
"""Event ids remembered of a user, to drop a producer's repeats."""
MAX_ABSORBED = 8
LIKED_FROM, DISLIKED_UNTIL = 4, 2
"""Ratings that say that a user likes an item, or doesn't."""
SESSION_GAP_MS = 30 * 60 * 1000
EXPIRES_AFTER_MS = 400 * 86_400_000
"""A user who was away for longer, by event time, is a new one."""
ID_BYTES = 6
"""Of an event id's digest. A new event is taken for one of MAX_SEEN others once in 9 * 10**12; 4 bytes would be once in
10**8, and each byte more is 20 MB for a million users with 20 events each."""
_Time = Annotated[int, Meta(ge=0, le=MAX_AT_MS)]
_Digests = Annotated[bytes, Meta(max_length=MAX_SEEN * ID_BYTES)]


class UserState(Struct, frozen=True, array_like=True, gc=False):
    """All that is kept of a user. `items` maps an item to its word (`touch.py`), the latest touched last."""

    last_ms: int = 0
    session_ms: int = 0
    baskets: int = 0
    order: int = 0
    items: dict[str, int] = {}
    cart: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    seen: bytes = b""
    absorbed: bytes = b""


class _Bounds(Struct, frozen=True, array_like=True, gc=False):
    """A `UserState` as no event can break it: what a state is checked against that came over Kafka."""

    last_ms: _Time
    session_ms: _Time
    baskets: Annotated[int, Meta(ge=0, lt=2**31)]
    order: Annotated[int, Meta(ge=0, lt=2**32)]
    items: Annotated[dict[Id, Annotated[int, Meta(ge=0)]], Meta(max_length=MAX_ITEMS)]
    cart: Annotated[tuple[Id, ...], Meta(max_length=MAX_CART)]
    queries: Annotated[tuple[Annotated[str, Meta(max_length=MAX_QUERY_LENGTH)], ...], Meta(max_length=MAX_QUERIES)]
    seen: _Digests
    absorbed: _Digests


EMPTY = UserState()
pack_state = msgspec.msgpack.Encoder().encode
unpack_state = msgspec.msgpack.Decoder(UserState).decode
_check = msgspec.msgpack.Decoder(_Bounds).decode
_replace: Callable[..., UserState] = msgspec.structs.replace


def fold(state: UserState, event: ev.UserEvent, at_ms: int) -> UserState:
    """Return the state after `event`, which happened at `at_ms` (milliseconds since 1970).

    A `forget` leaves an empty state, and so does an `alias` (its history is moved by an `absorb`).
    """
    state = current(state, at_ms)
    changes = _FOLDS[type(event)](state, event, at_ms)
    if changes is None:
        return UserState()
    if event.event_id is not None and not isinstance(event, ev.Absorb):
        seen = remember(state.seen, event.event_id)
        if seen is None:
            return state
        changes["seen"] = seen
    elif not changes and isinstance(event, ev.Absorb):
        return state
    if at_ms - state.last_ms > SESSION_GAP_MS:
        changes["session_ms"] = at_ms
    changes["last_ms"] = max(at_ms, state.last_ms)
    return _replace(state, **changes)


def current(state: UserState, at_ms: int) -> UserState:
    """Return what still counts of a state at `at_ms`: all of it, or nothing once it has expired."""
    return EMPTY if state.last_ms and at_ms - state.last_ms > EXPIRES_AFTER_MS else state


def check_state(packed: bytes) -> None:
    """Check a packed state that somebody else may have made: its fields, their types and bounds.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError, RecursionError: saying what is wrong.
    """
    _check(packed)


def remember(seen: bytes, event_id: str) -> bytes | None:
    """Return `seen`, a user's latest event ids as digests, with one more; None if it is among them."""
    digest = _digest(event_id)
    return None if _remembers(seen, digest) else (digest + seen)[: MAX_SEEN * ID_BYTES]


def _digest(event_id: str) -> bytes:
    return hashlib.blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=ID_BYTES).digest()


def _remembers(seen: bytes, digest: bytes) -> bool:
    at = seen.find(digest)
    while at >= 0 and at % ID_BYTES:
        at = seen.find(digest, at + 1)
    return at >= 0


def _with_item(items: dict[str, int], item_id: str, word: int) -> dict[str, int]:
    """Return a copy with `item_id` as the latest touched, within MAX_ITEMS."""
    items = items.copy()
    items.pop(item_id, None)
    items[item_id] = word
    if len(items) > MAX_ITEMS:
        del items[next(iter(items))]
    return items


def _touch(state: UserState, item_id: str, signal: int, at_ms: int) -> dict[str, Any]:
    word = t.touched(state.items.get(item_id), signal, t.minutes(at_ms))
    return {"items": _with_item(state.items, item_id, word)}


def _view(state: UserState, event: ev.View, at_ms: int) -> dict[str, Any]:
    return _touch(state, event.item_id, t.VIEW, at_ms)


def _click(state: UserState, event: ev.Click, at_ms: int) -> dict[str, Any]:
    return _touch(state, event.item_id, t.CLICK, at_ms)


def _cart(state: UserState, event: ev.Cart, at_ms: int) -> dict[str, Any]:
    kept = tuple(item for item in state.cart if item != event.item_id)
    cart = (*kept, event.item_id)[-MAX_CART:]
    return _touch(state, event.item_id, t.CART, at_ms) | {"cart": cart}


def _uncart(state: UserState, event: ev.Uncart, at_ms: int) -> dict[str, Any]:
    cart = tuple(item for item in state.cart if item != event.item_id)
    return _touch(state, event.item_id, t.UNCART, at_ms) | {"cart": cart}


def _purchase(state: UserState, event: ev.Purchase, at_ms: int) -> dict[str, Any]:
    order = zlib.crc32((event.order_id or str(at_ms)).encode("utf-8", "surrogatepass"))
    at_min = t.minutes(at_ms)
    word = state.items.get(event.item_id)
    same_basket = order == state.order
    if word is None or not same_basket or not t.basket_at(word, at_min):
        word = t.purchased(word, at_min)
    changes: dict[str, Any] = {"items": _with_item(state.items, event.item_id, word)}
    if not same_basket:
        changes |= {"order": order, "baskets": state.baskets + 1}
    if event.item_id in state.cart:
        changes["cart"] = tuple(item for item in state.cart if item != event.item_id)
    return changes


def _rating(state: UserState, event: ev.Rating, at_ms: int) -> dict[str, Any]:
    signal = t.LIKED if event.value >= LIKED_FROM else t.DISLIKED if event.value <= DISLIKED_UNTIL else t.REVIEW
    return _touch(state, event.item_id, signal, at_ms)


def _review(state: UserState, event: ev.Review, at_ms: int) -> dict[str, Any]:
    return _touch(state, event.item_id, t.REVIEW, at_ms)


def _search(state: UserState, event: ev.Search, at_ms: int) -> dict[str, Any]:
    query = event.query[:MAX_QUERY_LENGTH]
    kept = tuple(old for old in state.queries if old != query)
    return {"queries": (query, *kept)[:MAX_QUERIES]}


def _nothing(state: UserState, event: ev.Impression | ev.Request, at_ms: int) -> dict[str, Any]:
    return {}


def _erase(state: UserState, event: ev.Forget, at_ms: int) -> None:
    return None


def _alias(state: UserState, event: ev.Alias, at_ms: int) -> dict[str, Any] | None:
    return {} if event.login == event.user_id else None


def _absorb(state: UserState, event: ev.Absorb, at_ms: int) -> dict[str, Any]:
    """Merge another history; empty if this very one was merged before."""
    digest = _digest(event.event_id or event.anonymous_id)
    if _remembers(state.absorbed, digest):
        return {}
    other = unpack_state(event.state)
    words = dict(other.items)
    for item, word in state.items.items():
        words[item] = t.pack(t.merged(t.unpack(words[item]), t.unpack(word))) if item in words else word
    latest = sorted(words, key=lambda item: t.last_minute(words[item]))[-MAX_ITEMS:]
    return {
        "items": {item: words[item] for item in latest},
        "cart": tuple(dict.fromkeys(other.cart + state.cart))[-MAX_CART:],
        "queries": tuple(dict.fromkeys(state.queries + other.queries))[:MAX_QUERIES],
        "baskets": state.baskets + other.baskets,
        "absorbed": (digest + state.absorbed)[: MAX_ABSORBED * ID_BYTES],
    }


_FOLDS: dict[type, Callable[[UserState, Any, int], dict[str, Any] | None]] = {
    ev.View: _view,
    ev.Click: _click,
    ev.Cart: _cart,
    ev.Uncart: _uncart,
    ev.Purchase: _purchase,
    ev.Rating: _rating,
    ev.Review: _review,
    ev.Search: _search,
    ev.Impression: _nothing,
    ev.Request: _nothing,
    ev.Forget: _erase,
    ev.Alias: _alias,
    ev.Absorb: _absorb,
}
