"""A shop in which everybody buys an item of their own every week, and a bestseller with it: what `repeat` is for.

Nothing else leads to the item of one's own: it is no more popular than those of the others, and who buys a bestseller
buys any of them.
"""

import random
from pathlib import Path
from typing import Any

import msgspec

from streams.contracts.events import Purchase
from streams.contracts.items import Item
from streams.event_log import EVENTS, ITEMS

USERS, BESTSELLERS, WEEKS = 60, 10, 12
WEEK_MS = 7 * 86_400_000
BEGAN_MS = 1_600_000_000_000
_encode = msgspec.json.Encoder().encode


def write_shop(folder: Path, seed: int = 1) -> Path:
    """Write a log of so many weeks, and its catalogue, as `streamrank import` would; return the folder."""
    rng = random.Random(seed)
    folder.mkdir()
    items = [Item(item_id=f"sku-{n}", category=[f"aisle-{n % 30}"]) for n in range(BESTSELLERS + USERS)]
    lines = [line for week in range(WEEKS) for line in _week(week, rng)]
    (folder / ITEMS).write_bytes(b"".join(_encode(item) + b"\n" for item in items))
    (folder / EVENTS).write_bytes(b"".join(line + b"\n" for line in lines))
    return folder


def _week(week: int, rng: random.Random) -> list[bytes]:
    lines = []
    for user in range(USERS):
        at_ms = BEGAN_MS + week * WEEK_MS + user * WEEK_MS // USERS
        order: dict[str, Any] = {"user_id": f"u{user}", "order_id": f"o{user}-{week}", "at_ms": at_ms}
        for item in (BESTSELLERS + user, rng.randrange(BESTSELLERS)):
            lines.append(_encode(Purchase(**order, item_id=f"sku-{item}")))
    return lines
