"""Metarank's event log (JSON lines): a ranking becomes a `rerank` request and an impression, an interaction a signal.

`item` events become items: the fields that an item has here are taken over, all others become attributes. `user`
events have no place. Lines are taken in their order, which Metarank's own import needs sorted by time, too.
Reference: https://docs.metarank.ai/reference/event-schema
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from streams.errors import Misuse
from streams.event_log import EVENTS, ITEMS, read_lines
from streams.imports.base import Format, Line, Selection

SIGNALS = {
    "click": "click", "view": "view", "cart": "cart", "add_to_cart": "cart", "add-to-cart": "cart",
    "remove_from_cart": "uncart", "purchase": "purchase", "buy": "purchase", "order": "purchase",
}  # fmt: skip
"""Types of interactions and what they are here; any other is refused."""
_TEXT = ("title", "brand", "description")


class _Event(msgspec.Struct, frozen=True):
    """What every event of Metarank's has; the rest by `event`."""

    event: str
    id: str
    timestamp: str | int
    item: str | None = None
    items: list[dict[str, Any]] = []
    user: str | None = None
    session: str | None = None
    ranking: str | None = None
    type: str | None = None
    fields: list[dict[str, Any]] = []


_decode = msgspec.json.Decoder(_Event).decode


def read(source: str | None, selection: Selection) -> Iterator[Line]:
    """Read a file of events.

    Raises:
        Misuse: there is no file, or a line is no event of Metarank's.
    """
    selection.refuse("metarank")
    if source is None:
        raise Misuse("metarank needs SRC, a file of its events, one JSON object a line")
    path = Path(source)
    for number, raw in read_lines(path):
        try:
            event = _decode(raw)
            at_ms = int(event.timestamp)
        except (msgspec.MsgspecError, ValueError, UnicodeDecodeError) as exc:
            raise Misuse(f"{path}:{number}: no event of Metarank's: {exc}") from exc
        make = _MAKE.get(event.event)
        if make is None:
            yield Line(EVENTS, msgspec.to_builtins(event), f"an event `{event.event}` has no place here")
        else:
            yield from make(event, at_ms)


def _item(event: _Event, at_ms: int) -> Iterator[Line]:
    fields = {field.get("name"): field.get("value") for field in event.fields}
    item: dict[str, Any] = {"item_id": event.item}
    item |= {name: fields.pop(name) for name in _TEXT if isinstance(fields.get(name), str)}
    category, price = fields.pop("category", None), fields.pop("price", None)
    item["category"] = [category] if isinstance(category, str) else category or []
    item["price"] = price if isinstance(price, int | float) else None
    item["attributes"] = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in fields.items()
    }
    yield Line(ITEMS, item)


def _ranking(event: _Event, at_ms: int) -> Iterator[Line]:
    items = [item.get("id") for item in event.items]
    common = _common(event, at_ms) | {"request_id": event.id, "items": items}
    size = {"k": min(max(len(items), 1), 100)}
    yield Line(EVENTS, common | size | {"type": "request", "kind": "rerank", "event_id": f"{event.id}-request"})
    yield Line(EVENTS, common | {"type": "impression", "event_id": f"{event.id}-impression"})


def _interaction(event: _Event, at_ms: int) -> Iterator[Line]:
    kind = SIGNALS.get(event.type or "")
    if kind is None:
        known = ", ".join(SIGNALS)
        yield Line(EVENTS, msgspec.to_builtins(event), f"an interaction `{event.type}` is none of {known}")
        return
    signal = _common(event, at_ms) | {"type": kind, "item_id": event.item, "event_id": event.id}
    yield Line(EVENTS, signal | ({"request_id": event.ranking} if event.ranking else {}))


def _common(event: _Event, at_ms: int) -> dict[str, Any]:
    common: Mapping[str, Any] = {"user_id": event.user or event.session, "at_ms": at_ms, "session_id": event.session}
    return {name: value for name, value in common.items() if value is not None}


_MAKE: dict[str, Callable[[_Event, int], Iterator[Line]]] = {
    "item": _item,
    "ranking": _ranking,
    "interaction": _interaction,
}
FORMAT = Format("Metarank's events, JSON lines", read)
