"""How often, and how closely, items followed each other in users' sequences: counts in both directions, as they come.

An item's neighbours lie side by side, sorted, in arrays that all items share; a row that outgrows its room moves to
the end. Memory grows with the different pairs, which items bound. A pair of an item with itself is none.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled

_FIRST_ENTRIES, _FIRST_ROWS, _FIRST_ROOM = 1 << 14, 1 << 10, 4
_START, _SIZE, _ROOM = range(3)


class PairCounts:
    """F and B of each item: what came after it, and before it, within `window` places, weighing 1 / distance^power.

    Row i: `others`[s : s + n] ascending, `forward` and `backward` likewise, with s, n of `rows`[i].
    """

    def __init__(self, window: int, power: float) -> None:
        self._weights = np.array([distance**-power for distance in range(1, window + 1)])
        self._latest: dict[str, deque[int]] = {}
        self._window = window
        self.rows = np.zeros((_FIRST_ROWS, 3), np.int64)
        self.others = np.empty(_FIRST_ENTRIES, np.int64)
        self.forward, self.backward = np.empty(_FIRST_ENTRIES), np.empty(_FIRST_ENTRIES)
        self._used = 0

    def add(self, user_id: str, item: int, scale: float = 1.0) -> None:
        """Count that the user came to `item` (its number), times `scale`."""
        latest = self._latest.get(user_id)
        if latest is None:
            latest = self._latest[user_id] = deque(maxlen=self._window)
        if item >= len(self.rows):
            self.rows = np.concatenate((self.rows, np.zeros((max(item + 1, len(self.rows)), 3), np.int64)))
        if latest:
            self._put(item, np.array(latest, np.int64), scale)
        latest.appendleft(item)

    def _put(self, item: int, before: NDArray[np.int64], scale: float) -> None:
        done = 0
        while True:
            done, self._used = _add(
                item, before, self._weights, scale, done, self._used,
                self.rows, self.others, self.forward, self.backward,
            )  # fmt: skip
            if done == 2 * len(before):
                return
            self._grow()

    def _grow(self) -> None:
        """Double the arrays; what rows left behind is not worth closing, as rooms double, too."""
        self.others = np.concatenate((self.others, np.empty_like(self.others)))
        self.forward = np.concatenate((self.forward, np.empty_like(self.forward)))
        self.backward = np.concatenate((self.backward, np.empty_like(self.backward)))


@compiled
def _put(
    item: int,
    other: int,
    forward: float,
    backward: float,
    used: int,
    rows: NDArray[np.int64],
    others: NDArray[np.int64],
    all_forward: NDArray[np.float64],
    all_backward: NDArray[np.float64],
) -> int:
    """Add to one pair; return how many entries are used then, -1 (and nothing done) if there is no room."""
    start, size = rows[item, _START], rows[item, _SIZE]
    low, high = start, start + size
    while low < high:
        middle = (low + high) >> 1
        if others[middle] < other:
            low = middle + 1
        else:
            high = middle
    if low < start + size and others[low] == other:
        all_forward[low] += forward
        all_backward[low] += backward
        return used
    if size == rows[item, _ROOM]:
        room = max(_FIRST_ROOM, 2 * size)
        if used + room > len(others):
            return -1
        for n in range(size):
            others[used + n] = others[start + n]
            all_forward[used + n], all_backward[used + n] = all_forward[start + n], all_backward[start + n]
        low, start = low - start + used, used
        rows[item, _START], rows[item, _ROOM] = start, room
        used += room
    for n in range(start + size, low, -1):
        others[n], all_forward[n], all_backward[n] = others[n - 1], all_forward[n - 1], all_backward[n - 1]
    others[low], all_forward[low], all_backward[low] = other, forward, backward
    rows[item, _SIZE] = size + 1
    return used


@compiled
def _add(
    item: int,
    before: NDArray[np.int64],
    weights: NDArray[np.float64],
    scale: float,
    done: int,
    used: int,
    rows: NDArray[np.int64],
    others: NDArray[np.int64],
    forward: NDArray[np.float64],
    backward: NDArray[np.float64],
) -> tuple[int, int]:
    """Add the pairs of `item` with what came `before` (N,), the latest first, both ways: 2 N steps, from `done` on.

    Returns how many steps are done, fewer if the arrays are full, and how many entries are used.
    """
    for step in range(done, 2 * len(before)):
        distance = step // 2
        other, weight = before[distance], weights[distance] * scale
        if other == item:
            continue
        if step % 2 == 0:
            reached = _put(other, item, weight, 0.0, used, rows, others, forward, backward)
        else:
            reached = _put(item, other, 0.0, weight, used, rows, others, forward, backward)
        if reached < 0:
            return step, used
        used = reached
    return 2 * len(before), used
