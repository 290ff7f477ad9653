"""Two simple policies to compare with, learned from the same events, at each point in time from earlier ones alone."""

import heapq
from collections import defaultdict
from typing import Protocol

from streams.demo.journey import Line


class Baseline(Protocol):
    """A policy that learns line by line, in order of time."""

    def learn(self, line: Line) -> None:
        """Take in one purchase."""
        ...

    def top(self, user_id: str) -> list[str]:
        """Return the slate for a household now, best first."""
        ...


class Popular:
    """What all households bought most, decayed: a purchase at t weighs 2^((t - t0) / half-life).

    Weights grow instead of old counts shrinking, which ranks the same. As counts only grow, an item enters the top
    only when it is bought, so the top is kept and never searched for.
    """

    def __init__(self, k: int, half_life_days: float = 30.0) -> None:
        self._k = k
        self._half_life_ms = half_life_days * 86_400_000
        self._began_ms: int | None = None
        self._counts: dict[str, float] = defaultdict(float)
        self._top: dict[str, float] = {}

    def learn(self, line: Line) -> None:
        """Take in one purchase."""
        if self._began_ms is None:
            self._began_ms = line.at_ms
        self._counts[line.item_id] += 2.0 ** ((line.at_ms - self._began_ms) / self._half_life_ms)
        count = self._counts[line.item_id]
        if line.item_id not in self._top and len(self._top) >= self._k:
            least = min(self._top, key=self._top.__getitem__)
            if self._top[least] >= count:
                return
            del self._top[least]
        self._top[line.item_id] = count

    def top(self, user_id: str) -> list[str]:
        """Return the same slate for everybody."""
        return sorted(self._top, key=self._top.__getitem__, reverse=True)


class PersonalFrequency:
    """What this household had in most baskets so far; ties by what it bought last."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._bought: dict[str, dict[str, tuple[int, int, str]]] = defaultdict(dict)
        self._lines = 0

    def learn(self, line: Line) -> None:
        """Take in one purchase."""
        self._lines += 1
        items = self._bought[line.user_id]
        baskets, _, last = items.get(line.item_id, (0, 0, ""))
        items[line.item_id] = (baskets + (last != line.basket), self._lines, line.basket)

    def top(self, user_id: str) -> list[str]:
        """Return the household's favourites, fewer than k if it knows fewer items."""
        items = self._bought.get(user_id, {})
        return heapq.nlargest(self._k, items, key=lambda item: items[item][:2])
