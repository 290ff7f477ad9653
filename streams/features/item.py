"""The catalogue in memory: items by a dense index, their properties as arrays that grow with it.

An id that was only seen in events has an index too; until the shop publishes it, it can be recommended by behaviour
alone. An item that was deleted or is out of stock keeps its index and is never recommended.
"""

import hashlib
import re
from collections.abc import Iterable, Set

import numpy as np
from numpy.typing import NDArray

from inference.tensors import CODE_LEVELS, MAX_ID
from streams.contracts.items import Item

LEVELS = 3
"""Levels of the category path, widest first, that every item has a code for; deeper ones only if some item has them."""
NO_CODE = 0
"""The code of a missing category or brand."""
_FIRST_SIZE = 1024
_WORD = re.compile(r"\w+")


class Catalogue:
    """Items by index. Arrays have shape (>= len(self),); don't keep them, growing replaces them.

    `semantic` (>= len(self), C) are the codes of the items' texts, 0 where none is known.
    """

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.ids: list[str] = []
        self.titles: list[str] = []
        self.categories: list[tuple[str, ...]] = []
        self.codes: dict[tuple[str, ...] | str, int] = {}
        self.code_digests = np.zeros(_FIRST_SIZE, np.uint64)
        self.codes_by_name: dict[str, set[int]] = {}
        self._by_category: dict[int, set[int]] = {}
        self._members: dict[int, NDArray[np.int64]] = {}
        self._members_version = -1
        self.postings: dict[str, set[int]] = {}
        self.version = 0
        self.price = np.zeros(_FIRST_SIZE, np.float64)
        self.log_price = np.zeros(_FIRST_SIZE, np.float32)
        self.created_ms = np.zeros(_FIRST_SIZE, np.int64)
        self.servable = np.zeros(_FIRST_SIZE, bool)
        self.published = np.zeros(_FIRST_SIZE, bool)
        self.in_stock = np.zeros(_FIRST_SIZE, bool)
        self.category = np.zeros((_FIRST_SIZE, LEVELS), np.int32)
        self.brand = np.zeros(_FIRST_SIZE, np.int32)
        self.digest = np.zeros(_FIRST_SIZE, np.uint64)
        self.hashed = np.zeros(_FIRST_SIZE, np.int32)
        self.semantic = np.zeros((_FIRST_SIZE, CODE_LEVELS), np.int32)

    def __len__(self) -> int:
        """Return how many indices are taken."""
        return len(self.ids)

    def upsert(self, item: Item) -> int:
        """Take in an item or its new version; return its index."""
        i = self.index_of(item.item_id)
        path, before = tuple(item.category), self.categories[i]
        self._index_title(i, item.title)
        self.categories[i] = path
        self.price[i] = np.nan if item.price is None else item.price
        self.log_price[i] = np.log(item.price) if item.price else np.nan
        self.created_ms[i] = item.created_ms or 0
        self.servable[i] = self.published[i] = True
        self.in_stock[i] = item.in_stock
        self.brand[i] = self._code(item.brand) if item.brand else NO_CODE
        if len(path) > self.category.shape[1]:
            self._deepen(len(path))
        codes = [self._code(path[:depth]) for depth in range(1, len(path) + 1)]
        if path != before:
            for code in set(self.category[i].tolist()) - {NO_CODE, *codes}:
                self._by_category[code].discard(i)
            for code in codes:
                self._by_category.setdefault(code, set()).add(i)
        self.category[i] = NO_CODE
        self.category[i, : len(path)] = codes
        self.version += 1
        return i

    def delete(self, item_id: str) -> None:
        """Never recommend the item again, unless it comes back."""
        self.servable[self.index_of(item_id)] = False
        self.version += 1

    def keep(self, listed: Set[str]) -> None:
        """Delete what the shop published earlier and doesn't list any more."""
        for i in np.flatnonzero(self.published & self.servable).tolist():
            if self.ids[i] not in listed:
                self.delete(self.ids[i])

    def index_of(self, item_id: str) -> int:
        """Return the index of an item, a new one for an unknown id."""
        i = self.index.get(item_id)
        if i is None:
            i = self.index[item_id] = len(self.ids)
            self.ids.append(item_id)
            self.titles.append("")
            self.categories.append(())
            if i == len(self.servable):
                self._grow()
            self.servable[i] = self.in_stock[i] = True
            self.price[i] = self.log_price[i] = np.nan
            self.digest[i] = digest = digest_of(item_id)
            self.hashed[i] = hashed_id(digest)
        return i

    def indices_of(self, item_ids: Iterable[str]) -> NDArray[np.int64]:
        """Return the indices of items, shape (N,)."""
        ids = list(item_ids)
        try:
            return np.fromiter(map(self.index.__getitem__, ids), np.int64, len(ids))
        except KeyError:
            return np.fromiter(map(self.index_of, ids), np.int64, len(ids))

    def in_category(self, code: int) -> NDArray[np.int64]:
        """Return the indices of the items on a category path with this code, shape (N,), in no order."""
        if self._members_version != self.version:
            self._members.clear()
            self._members_version = self.version
        members = self._members.get(code)
        if members is None:
            items = self._by_category.get(code, ())
            members = self._members[code] = np.fromiter(items, np.int64, len(items))
        return members

    def _code(self, name: tuple[str, ...] | str) -> int:
        """Return the code of a category path (tuple) or of a brand (str)."""
        code = self.codes.get(name)
        if code is None:
            code = self.codes[name] = len(self.codes) + 1
            if code == len(self.code_digests):
                self.code_digests = np.concatenate((self.code_digests, np.zeros(code, np.uint64)))
            self.code_digests[code] = digest_of("\0".join(name))
            if isinstance(name, tuple):
                self.codes_by_name.setdefault(name[-1], set()).add(code)
        return code

    def _index_title(self, i: int, title: str) -> None:
        if title == self.titles[i]:
            return
        for word in words(self.titles[i]):
            self.postings[word].discard(i)
        for word in words(title):
            self.postings.setdefault(word, set()).add(i)
        self.titles[i] = title

    def _deepen(self, levels: int) -> None:
        """Make room for category paths of that many levels."""
        deeper = np.full((len(self.category), levels), NO_CODE, np.int32)
        deeper[:, : self.category.shape[1]] = self.category
        self.category = deeper

    def _grow(self) -> None:
        for name, array in vars(self).items():
            if isinstance(array, np.ndarray):
                bigger = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)
                bigger[: len(array)] = array
                setattr(self, name, bigger)


def words(text: str) -> set[str]:
    """Return the words of a title or query, lower case."""
    return set(_WORD.findall(text.lower()))


def hashed_id(digest: int) -> int:
    """Return the id by which rankers know an item, from 1 to MAX_ID; 0 is padding."""
    return digest % MAX_ID + 1


def digest_of(item_id: str) -> int:
    """Hash an id: breaks ties and picks buckets the same way in every process."""
    raw = hashlib.blake2b(item_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "little")
