"""What a language model reads of a user, and of items by hashed id, as lists know them.

    user    Espresso beans, 1 KG; Oat milk; ...                                    the latest first

The text of an item is that of `streams/features/text.py`, which the worker reads too.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from streams.contracts.items import Item
from streams.features.item import digest_of, hashed_id
from streams.features.text import item_text, plain

LATEST = 10
"""Items of a user's text. More: longer texts, and slower models, for what was a while ago."""


def user_text(items: Iterable[Item]) -> str:
    """Return the names of the latest items, given latest first."""
    names = [name for _, item in zip(range(LATEST), items, strict=False) if (name := _name(item))]
    return "; ".join(names)


class Texts:
    """The texts of a catalogue by hashed id; what isn't in it has the empty text."""

    def __init__(self, items: Iterable[Item]) -> None:
        known = list(items)
        self._items = {hashed_id(digest_of(item.item_id)): item for item in known}

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
    return plain(item.title) or (plain(item.category[-1]) if item.category else "")
