"""How often, and how closely, items followed each other in users' sequences: counts in both directions, as they come.

An item's neighbours are a linked list of entries, and a hash table (open addressing, linear probing; Knuth, vol. 3,
6.4) finds the entry of a pair, so a pair costs the same however many neighbours its items have. Memory grows with the
different pairs, which items bound. A pair of an item with itself is none.

A pair may be counted in W ways at once, each with its own power of the distance and its own scale.
"""

from collections import deque
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from streams.compiled import compiled

T = TypeVar("T", bound=np.generic)
NOTHING = -1
"""The end of a list, and an empty slot of the table."""
_FIRST_ENTRIES, _FIRST_ITEMS = 1 << 14, 1 << 10
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class PairCounts:
    """F and B of each item: what came after it, and before it, within `window` places, weighing 1 / distance^power.

    The list of item i begins at `heads`[i] and goes on at `following`[entry]; `others` (E,), `forward` and `backward`,
    both (E, W), say of each entry which item it counts, and F and B in each way.
    """

    def __init__(self, window: int, powers: Sequence[float], kept_as: DTypeLike = np.float64) -> None:
        self._weights = np.array([[distance**-power for power in powers] for distance in range(1, window + 1)])
        self._latest: dict[str, deque[int]] = {}
        self._window = window
        self.heads = np.full(_FIRST_ITEMS, NOTHING, np.int32)
        self.sizes = np.zeros(_FIRST_ITEMS, np.int32)
        self.owners, self.others, self.following = (np.empty(_FIRST_ENTRIES, np.int32) for _ in range(3))
        self.forward, self.backward = (np.empty((_FIRST_ENTRIES, len(powers)), kept_as) for _ in range(2))
        self._table = np.full(2 * _FIRST_ENTRIES, NOTHING, np.int32)
        self._used = 0

    def add(self, user_id: str, item: int, scales: Sequence[float]) -> None:
        """Count that the user came to `item` (its number), in each way times its scale."""
        latest = self._latest.get(user_id)
        if latest is None:
            latest = self._latest[user_id] = deque(maxlen=self._window)
        if item >= len(self.heads):
            self.heads = _longer(self.heads, max(item + 1, 2 * len(self.heads)), NOTHING)
            self.sizes = _longer(self.sizes, len(self.heads), 0)
        if latest:
            if self._used + 2 * len(latest) > len(self.others):
                self._grow()
            self._used = _add(
                item, np.array(latest, np.int64), self._weights, np.array(scales), self._used, self._table, self.heads,
                self.sizes, self.owners, self.others, self.following, self.forward, self.backward,
            )  # fmt: skip
        latest.appendleft(item)

    def _grow(self) -> None:
        """Double the entries, and find each anew in a table of twice their number."""
        size = 2 * len(self.others)
        for name in ("owners", "others", "following", "forward", "backward"):
            setattr(self, name, _longer(getattr(self, name), size))
        self._table = np.full(2 * size, NOTHING, np.int32)
        _fill(self._table, self.owners, self.others, self._used)


def _longer(array: NDArray[T], size: int, fill: int | None = None) -> NDArray[T]:
    longer = np.empty((size, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    if fill is not None:
        longer[len(array) :] = fill
    return longer


@compiled
def _slot(item: int, other: int, table: NDArray[np.int32], owners: NDArray[np.int32], others: NDArray[np.int32]) -> int:
    """Return the slot that holds the entry of a pair, or where it belongs."""
    key = np.uint64(item) << np.uint64(32) | np.uint64(other)
    mask = len(table) - 1
    slot = int(key * _GOLDEN >> np.uint64(20)) & mask
    while table[slot] >= 0 and not (owners[table[slot]] == item and others[table[slot]] == other):
        slot = (slot + 1) & mask
    return slot


@compiled
def _fill(table: NDArray[np.int32], owners: NDArray[np.int32], others: NDArray[np.int32], used: int) -> None:
    """Put all entries into an empty table."""
    for entry in range(used):
        table[_slot(owners[entry], others[entry], table, owners, others)] = entry


@compiled
def _add(
    item: int,
    before: NDArray[np.int64],
    weights: NDArray[np.float64],
    scales: NDArray[np.float64],
    used: int,
    table: NDArray[np.int32],
    heads: NDArray[np.int32],
    sizes: NDArray[np.int32],
    owners: NDArray[np.int32],
    others: NDArray[np.int32],
    following: NDArray[np.int32],
    forward: NDArray[np.floating],
    backward: NDArray[np.floating],
) -> int:
    """Add the pairs of `item` with what came `before` (N,), the latest first, both ways; return the entries used."""
    for distance in range(len(before)):
        for turned in range(2):
            owner, other = (before[distance], item) if turned == 0 else (item, before[distance])
            if owner == other:
                continue
            slot = _slot(owner, other, table, owners, others)
            entry = table[slot]
            if entry < 0:
                entry = table[slot] = used
                owners[entry], others[entry], following[entry] = owner, other, heads[owner]
                for way in range(len(scales)):
                    forward[entry, way] = backward[entry, way] = 0.0
                heads[owner] = entry
                sizes[owner] += 1
                used += 1
            for way in range(len(scales)):
                weight = weights[distance, way] * scales[way]
                if turned == 0:
                    forward[entry, way] += weight
                else:
                    backward[entry, way] += weight
    return used
