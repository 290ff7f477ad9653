"""What is read of an item where text counts: plain text, the same for the same item in every process.

    Espresso beans, 1 KG. brand Lavazza. GROCERY > COFFEE. package size 1 KG. price from 8 to 16 USD

An item without a word is the empty text.
"""

import math

from streams.contracts.items import Attribute, Item


def item_text(item: Item) -> str:
    """Return title, brand, category path, attributes by name, and price band."""
    parts = [
        item.title,
        f"brand {item.brand}" if item.brand else "",
        " > ".join(item.category),
        *(_attribute(name, item.attributes[name]) for name in sorted(item.attributes)),
        price_band(item),
    ]
    return ". ".join(part for part in map(plain, parts) if part)


def price_band(item: Item) -> str:
    """Return between which powers of two the price lies, empty without one: near prices are to read alike.

    >>> price_band(Item(item_id="a", price=5.0, currency="USD"))
    'price from 4 to 8 USD'
    """
    if not item.price:
        return ""
    power = math.floor(math.log2(item.price))
    return f"price from {2.0**power:g} to {2.0 ** (power + 1):g} {item.currency or ''}".strip()


def plain(text: str) -> str:
    """Return it with single spaces."""
    return " ".join(text.split())


def _attribute(name: str, value: Attribute) -> str:
    return "" if value is None else f"{name.replace('_', ' ')} {value}"
