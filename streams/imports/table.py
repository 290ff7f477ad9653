"""Any table of events, CSV or Parquet: a small TOML file says which column is what. Rows are sorted by time, in memory.

[event]
user = "CustomerID"                # columns; order, quantity, price, session and value may be left out
item = "StockCode"
time = "InvoiceDate"
time_format = "%m/%d/%y %H:%M"     # as strptime, or s, ms, us, iso; UTC if there is no zone in it
type = "purchase"                  # or { column = "event", values = { addtocart = "cart" } }
currency = "GBP"                   # a constant

[item]                             # what is known of the item of a row; its last row counts
title = "Description"              # columns, also brand, price, and category: a list of columns, widest first
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from streams.errors import Misuse
from streams.event_log import EVENTS, ITEMS
from streams.imports.base import Format, Line, Selection
from streams.imports.rows import read_rows

MAPPINGS = ("movielens", "online-retail", "retailrocket")
"""The mappings that are shipped, by name."""
_PER_S = {"s": 1.0, "ms": 1e3, "us": 1e6}


class _Types(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column of types, and what its values are here."""

    column: str
    values: dict[str, str]


class _EventColumns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[event]`."""

    user: str
    item: str
    time: str
    time_format: str
    type: str | _Types
    order: str | None = None
    session: str | None = None
    quantity: str | None = None
    price: str | None = None
    value: str | None = None
    currency: str | None = None


class _ItemColumns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[item]`."""

    title: str | None = None
    brand: str | None = None
    price: str | None = None
    category: list[str] = []


class TableMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping file."""

    event: _EventColumns
    item: _ItemColumns = _ItemColumns()


def read(source: str | None, selection: Selection) -> Iterator[Line]:
    """Read a table by `selection.mapping`.

    Raises:
        Misuse: file or mapping are missing or wrong.
    """
    if selection.users is not None:
        raise Misuse("--households: table takes all users")
    if source is None or selection.mapping is None:
        raise Misuse(f"table needs SRC, a CSV or Parquet file, and --mapping, a TOML file or {', '.join(MAPPINGS)}")
    mapping = load_mapping(selection.mapping)
    columns = mapping.event
    types = columns.type
    used = [columns.user, columns.item, columns.time, *([types.column] if isinstance(types, _Types) else [])]
    told = mapping.item
    more = (columns.order, columns.session, columns.quantity, columns.price, columns.value)
    used += [name for name in (*more, told.title, told.brand, told.price, *told.category) if name]
    time_of = _clock(columns.time_format)
    events: list[tuple[int, dict[str, Any]]] = []
    items: dict[str, dict[str, Any]] = {}
    for _, row in read_rows(Path(source), used):
        refused, event = _event(columns, row, time_of)
        if refused is None:
            refused, item = _item(told, row, event["item_id"])
        if refused is not None:
            yield Line(EVENTS, row, refused)
            continue
        events.append((event["at_ms"], event))
        items[event["item_id"]] = item
    for item in items.values():
        yield Line(ITEMS, item)
    for _, event in sorted(events, key=lambda pair: pair[0]):
        yield Line(EVENTS, event)


def load_mapping(name: str) -> TableMapping:
    """Load a shipped mapping or a TOML file.

    Raises:
        Misuse: it can't be read, or isn't a mapping; names the field.
    """
    shipped = resources.files("streams.imports") / "mappings" / f"{name}.toml"
    try:
        raw = shipped.read_bytes() if name in MAPPINGS else Path(name).read_bytes()
        return msgspec.convert(tomllib.loads(raw.decode()), TableMapping)
    except OSError as exc:
        raise Misuse(f"--mapping {name}: neither a readable file nor one of {', '.join(MAPPINGS)}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as exc:
        raise Misuse(f"--mapping {name}: {exc}") from exc


def _event(
    columns: _EventColumns, row: Mapping[str, Any], time_of: Callable[[Any], int]
) -> tuple[str | None, dict[str, Any]]:
    """Return why the row is no event (or None), and the event."""
    kind: str | None
    if isinstance(columns.type, _Types):
        kind = columns.type.values.get(str(row[columns.type.column]))
        if kind is None:
            return f"{columns.type.column}: no type for {row[columns.type.column]!r} in the mapping", {}
    else:
        kind = columns.type
    try:
        at_ms = time_of(row[columns.time])
    except (ValueError, TypeError, OverflowError):
        return f"{columns.time}: {row[columns.time]!r} is not a time of the form {columns.time_format}", {}
    user, item = _id(row[columns.user]), _id(row[columns.item])
    if user is None or item is None:
        return f"{columns.user if user is None else columns.item}: missing", {}
    event: dict[str, Any] = {"type": kind, "user_id": user, "at_ms": at_ms, "item_id": item}
    more = (("order_id", columns.order, _id), ("session_id", columns.session, _id))
    numbers = (("quantity", columns.quantity, _whole), ("price", columns.price, float), ("value", columns.value, float))
    for name, column, convert in (*more, *(numbers if kind in ("purchase", "rating") else ())):
        if column is None or row[column] is None:
            continue
        try:
            event[name] = convert(row[column])
        except (ValueError, TypeError):
            return f"{column}: {row[column]!r} is not a number", {}
    if "price" in event and columns.currency:
        event["currency"] = columns.currency
    if kind == "purchase" and (event.get("quantity", 1) <= 0 or event.get("price", 1) <= 0):
        return "a purchase without positive quantity and price (a return, a cancelled order, a correction)", {}
    return None, event


def _item(columns: _ItemColumns, row: Mapping[str, Any], item_id: str) -> tuple[str | None, dict[str, Any]]:
    """Return why the row tells of no item (or None), and the item."""
    item: dict[str, Any] = {"item_id": item_id}
    for name, column in (("title", columns.title), ("brand", columns.brand)):
        if column and row[column] is not None:
            item[name] = str(row[column]).strip()
    if columns.price and row[columns.price] is not None:
        try:
            item["price"] = float(row[columns.price])
        except (ValueError, TypeError):
            return f"{columns.price}: {row[columns.price]!r} is not a number", {}
    path = [str(row[column]) for column in columns.category if row[column] is not None]
    return None, item | ({"category": path} if path else {})


def _clock(time_format: str) -> Callable[[Any], int]:
    """Return what makes milliseconds of a cell."""
    if time_format in _PER_S:
        return lambda cell: int(float(cell) * 1000 / _PER_S[time_format])
    if time_format == "iso":
        return lambda cell: _ms(datetime.fromisoformat(str(cell)))
    return lambda cell: _ms(datetime.strptime(str(cell), time_format))  # noqa: DTZ007 (`_ms` gives it a zone)


def _ms(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def _id(cell: Any) -> str | None:
    """Return an id as text; a whole number without the `.0` that a column with holes gives it."""
    if cell is None or cell != cell:
        return None
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip() or None


def _whole(cell: Any) -> int:
    number = float(cell)
    if not number.is_integer():
        raise ValueError
    return int(number)


FORMAT = Format("a CSV or Parquet table of events, with --mapping", read)
