"""Events of REES46 stores (CSV, as published by the REES46 Marketing Platform): view, cart, remove_from_cart, purchase.

An item's brand, category and price are those of its last row. Rows are sorted by time, stably; they are held in memory.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streams.errors import Misuse
from streams.event_log import EVENTS, ITEMS
from streams.imports.base import Format, Line, Selection
from streams.imports.rows import read_rows

COLUMNS = ("event_time", "event_type", "product_id", "category_code", "brand", "price", "user_id", "user_session")
TYPES = {"view": "view", "cart": "cart", "remove_from_cart": "uncart", "purchase": "purchase"}
_TIME = "%Y-%m-%d %H:%M:%S UTC"


def read(source: str | None, selection: Selection) -> Iterator[Line]:
    """Read a file of events.

    Raises:
        Misuse: there is no file, or it has other columns.
    """
    selection.refuse("rees46")
    if source is None:
        raise Misuse("rees46 needs SRC, a CSV file of events")
    events: list[tuple[int, dict[str, Any]]] = []
    items: dict[str, dict[str, Any]] = {}
    for _, row in read_rows(Path(source), COLUMNS):
        kind = TYPES.get(row["event_type"])
        at_ms = _at_ms(row["event_time"])
        if kind is None or at_ms is None:
            column = "event_type" if kind is None else "event_time"
            yield Line(EVENTS, row, f"{column}: {row[column]!r} is none that is known")
            continue
        price = _price(row["price"])
        event = {
            "type": kind,
            "user_id": row["user_id"],
            "at_ms": at_ms,
            "item_id": row["product_id"],
            "session_id": row["user_session"],
        }
        if kind == "purchase":
            event |= {"price": price, "order_id": row["user_session"]}
        events.append((at_ms, event))
        if row["product_id"] is not None:
            items[row["product_id"]] = _item(row, price)
    for item in items.values():
        yield Line(ITEMS, item)
    for _, event in sorted(events, key=lambda pair: pair[0]):
        yield Line(EVENTS, {name: value for name, value in event.items() if value is not None})


def _item(row: Any, price: float | None) -> dict[str, Any]:
    path = (row["category_code"] or "").split(".")
    item = {"item_id": row["product_id"], "title": " ".join(filter(None, (row["brand"], path[-1]))), "price": price}
    return item | {"brand": row["brand"], "category": [name for name in path if name]}


def _at_ms(text: str | None) -> int | None:
    try:
        return int(datetime.strptime(text or "", _TIME).replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return None


def _price(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


FORMAT = Format("CSV events of a REES46 store", read)
