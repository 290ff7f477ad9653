"""The `items` topic: the catalogue (key: `item_id`), an upsert or, with a null value, a delete; compacted."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from streams.contracts.wire import AtMs, Currency, Id, Price, Text, decode

Attribute = str | int | float | bool | None
Vector = Annotated[list[float], Meta(max_length=4_096)]


class Item(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One product. `category` is a path, widest first; `price` is for one unit."""

    item_id: Id
    title: Annotated[str, Meta(max_length=2_000)] = ""
    brand: Annotated[str, Meta(max_length=256)] | None = None
    category: Annotated[list[Id], Meta(max_length=16)] = field(default_factory=list)
    price: Price | None = None
    currency: Currency | None = None
    in_stock: bool = True
    description: Text = ""
    attributes: Annotated[dict[str, Attribute], Meta(max_length=200)] = field(default_factory=dict)
    tags: Annotated[list[Id], Meta(max_length=100)] = field(default_factory=list)
    created_ms: AtMs | None = None
    vectors: Annotated[dict[str, Vector], Meta(max_length=8)] = field(default_factory=dict)
    sponsored: bool = False


_DECODER = msgspec.json.Decoder(Item)


def decode_item(raw: bytes) -> Item:
    """Decode one upsert.

    Raises:
        BadEvent: with the reason and the JSON path.
    """
    return decode(_DECODER, raw)
