"""What a language model reads of an item and of a user: plain text, the same for the same item in every process.

    item    Espresso beans, 1 KG. brand Lavazza. GROCERY > COFFEE. package size 1 KG. price from 8 to 16 USD
    user    Espresso beans, 1 KG; Oat milk; ...                                    the latest first

Lists hold hashed ids, not items: `Texts` is the catalogue by those. An item without a word is the empty text.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from streams.contracts.items import Attribute, Item
from streams.features.item import digest_of, hashed_id

LATEST = 10
"""Items of a user's text. More: longer texts, and slower models, for what was a while ago."""


def item_text(item: Item) -> str:
    """Return title, brand, category path, attributes by name, and price band."""
    parts = [
        item.title,
        f"brand {item.brand}" if item.brand else "",
        " > ".join(item.category),
        *(_attribute(name, item.attributes[name]) for name in sorted(item.attributes)),
        price_band(item),
    ]
    return ". ".join(part for part in map(_plain, parts) if part)


def user_text(items: Iterable[Item]) -> str:
    """Return the names of the latest items, given latest first."""
    names = [name for _, item in zip(range(LATEST), items, strict=False) if (name := _name(item))]
    return "; ".join(names)


def price_band(item: Item) -> str:
    """Return between which powers of two the price lies, empty without one: near prices are to read alike.

    >>> price_band(Item(item_id="a", price=5.0, currency="USD"))
    'price from 4 to 8 USD'
    """
    if not item.price:
        return ""
    power = math.floor(math.log2(item.price))
    return f"price from {2.0**power:g} to {2.0 ** (power + 1):g} {item.currency or ''}".strip()


class Texts:
    """The texts of a catalogue by hashed id; what isn't in it has the empty text."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = {hashed_id(digest_of(item.item_id)): item for item in items}

    def __len__(self) -> int:
        """The number of items."""
        return len(self._items)

    def items(self, ids: NDArray[np.int32]) -> list[str]:
        """Return the text of each item, (R,)."""
        return [item_text(self._items[one]) if one in self._items else "" for one in ids.tolist()]

    def user(self, history_ids: NDArray[np.int32] | Sequence[int]) -> str:
        """Return the text of a user with that history, latest first, 0 for padding."""
        return user_text(self._items[one] for one in map(int, history_ids) if one in self._items)


def _name(item: Item) -> str:
    return _plain(item.title) or (_plain(item.category[-1]) if item.category else "")


def _attribute(name: str, value: Attribute) -> str:
    return "" if value is None else f"{name.replace('_', ' ')} {value}"


def _plain(text: str) -> str:
    """Return it with single spaces."""
    return " ".join(text.split())
