"""How often, and how closely, items followed each other in users' sequences: counts in both directions, as they come.

An item's neighbours are a linked list of entries, and a hash table (open addressing, linear probing; Knuth, vol. 3,
6.4) finds the entry of a pair, so a pair costs the same however many neighbours its items have. Memory grows with the
different pairs, which items bound. A pair of an item with itself is none.
"""

from collections import deque
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled

T = TypeVar("T", bound=np.generic)
NOTHING = -1
"""The end of a list, and an empty slot of the table."""
_FIRST_ENTRIES, _FIRST_ITEMS = 1 << 14, 1 << 10
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class PairCounts:
    """F and B of each item: what came after it, and before it, within `window` places, weighing 1 / distance^power.

    The list of item i begins at `heads`[i] and goes on at `following`[entry]; `others`, `forward` and `backward` say
    of each entry which item it counts, and F and B.
    """

    def __init__(self, window: int, power: float) -> None:
        self._weights = np.array([distance**-power for distance in range(1, window + 1)])
        self._latest: dict[str, deque[int]] = {}
        self._window = window
        self.heads = np.full(_FIRST_ITEMS, NOTHING, np.int32)
        self.sizes = np.zeros(_FIRST_ITEMS, np.int32)
        self.owners, self.others, self.following = (np.empty(_FIRST_ENTRIES, np.int32) for _ in range(3))
        self.forward, self.backward = np.empty(_FIRST_ENTRIES), np.empty(_FIRST_ENTRIES)
        self._table = np.full(2 * _FIRST_ENTRIES, NOTHING, np.int32)
        self._used = 0

    def add(self, user_id: str, item: int, scale: float = 1.0) -> None:
        """Count that the user came to `item` (its number), times `scale`."""
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
                item, np.array(latest, np.int64), self._weights, scale, self._used, self._table, self.heads, self.sizes,
                self.owners, self.others, self.following, self.forward, self.backward,
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
    longer = np.empty(size, array.dtype)
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
    scale: float,
    used: int,
    table: NDArray[np.int32],
    heads: NDArray[np.int32],
    sizes: NDArray[np.int32],
    owners: NDArray[np.int32],
    others: NDArray[np.int32],
    following: NDArray[np.int32],
    forward: NDArray[np.float64],
    backward: NDArray[np.float64],
) -> int:
    """Add the pairs of `item` with what came `before` (N,), the latest first, both ways; return the entries used."""
    for distance in range(len(before)):
        weight = weights[distance] * scale
        for turned in range(2):
            owner, other = (before[distance], item) if turned == 0 else (item, before[distance])
            if owner == other:
                continue
            slot = _slot(owner, other, table, owners, others)
            entry = table[slot]
            if entry < 0:
                entry = table[slot] = used
                owners[entry], others[entry], following[entry] = owner, other, heads[owner]
                forward[entry] = backward[entry] = 0.0
                heads[owner] = entry
                sizes[owner] += 1
                used += 1
            if turned == 0:
                forward[entry] += weight
            else:
                backward[entry] += weight
    return used
