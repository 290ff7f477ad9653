"""How much more ids (items, categories) are clicked than was expected of them: clicks over expected clicks.

    residual(id) = log((C + A) / (E + A))

C are an id's clicks and E those that the model expected of it without this very number; beside them is kept how often
it was seen; all are decayed by HALF_LIFE_MS of event time. A expected clicks' worth of evidence keep an id with little
of it near 0. After Zhang and Jones, "Comparing click logs and editorial labels for training query rewriting", WWW 2007
(clicks over expected clicks).

Sums are kept in units of the origin (forward decay; Cormode et al., ICDE 2009): what is added later weighs more, and
nothing has to be decayed but A. At most `size` ids are kept; the one that was shown least lately goes first.
"""

import math
from itertools import chain

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

HALF_LIFE_MS = 86_400_000
"""Shorter: faster to forget a fashion, and noisier."""
EVIDENCE = 1.0
"""A, in clicks: an id needs about as many before its residual counts."""
_MOST_HALF_LIVES = 64


class Kept(Struct, frozen=True):
    """A table of rates as it is stored: `ids` (N,) uint64, `sums` (N, 3) float64 C, E and how often seen.

    The least lately seen come first.
    """

    origin_ms: int
    now_ms: int
    ids: bytes
    sums: bytes


class Rates:
    """The sums of up to `size` ids. Ids are 64-bit digests."""

    def __init__(self, size: int, kept: Kept | None = None) -> None:
        self._size = size
        self._origin_ms = self._now_ms = 0
        self._sums: dict[int, tuple[float, float, float]] = {}
        if kept is not None:
            self._origin_ms, self._now_ms = kept.origin_ms, kept.now_ms
            rows = np.frombuffer(kept.sums, np.float64).reshape(-1, 3).tolist()
            ids = np.frombuffer(kept.ids, np.uint64).tolist()
            self._sums = {one: (c, e, n) for one, (c, e, n) in zip(ids, rows, strict=True)}

    def __len__(self) -> int:
        """Return how many ids are kept."""
        return len(self._sums)

    def residual(self, one: int) -> float:
        """Return the residual of an id, 0 if nothing is known of it."""
        sums = self._sums.get(one)
        if sums is None:
            return 0.0
        evidence = self._evidence()
        return math.log((sums[0] + evidence) / (sums[1] + evidence))

    def add(self, one: int, clicked: bool, expected: float, at_ms: int) -> None:
        """Count that an id was seen once; its age is that of `at_ms` against the latest time that was added."""
        self._advance(at_ms)
        weight = 2.0 ** ((at_ms - self._origin_ms) / HALF_LIFE_MS)
        clicks, before, seen = self._sums.pop(one, (0.0, 0.0, 0.0))
        self._sums[one] = (clicks + weight * clicked, before + weight * expected, seen + weight)
        if len(self._sums) > self._size:
            del self._sums[next(iter(self._sums))]

    def kept(self) -> Kept:
        """Return the table to be stored."""
        ids = np.fromiter(self._sums, np.uint64, len(self._sums))
        return Kept(self._origin_ms, self._now_ms, ids.tobytes(), self._rows().tobytes())

    def table(self) -> tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.float64]]:
        """Return ids (N,), ascending, their residuals (N,), and how often they were seen of late (N,)."""
        ids = np.fromiter(self._sums, np.uint64, len(self._sums))
        order, rows, evidence = np.argsort(ids), self._rows(), self._evidence()
        residuals = np.log((rows[:, 0] + evidence) / (rows[:, 1] + evidence))
        return ids[order], residuals[order], rows[order, 2] * (EVIDENCE / evidence)

    def _evidence(self) -> float:
        return float(EVIDENCE * 2.0 ** ((self._now_ms - self._origin_ms) / HALF_LIFE_MS))

    def _rows(self) -> NDArray[np.float64]:
        flat = chain.from_iterable(self._sums.values())
        return np.fromiter(flat, np.float64, 3 * len(self._sums)).reshape(-1, 3)

    def _advance(self, at_ms: int) -> None:
        """Move the origin before the sums leave what a float can hold: by whole half-lives, so nothing is rounded."""
        if not self._now_ms:
            self._origin_ms = at_ms
        self._now_ms = max(self._now_ms, at_ms)
        half_lives = (self._now_ms - self._origin_ms) // HALF_LIFE_MS
        if half_lives > _MOST_HALF_LIVES:
            shrink = 2.0 ** -min(half_lives, 1_000)
            self._sums = {one: (c * shrink, e * shrink, n * shrink) for one, (c, e, n) in self._sums.items()}
            self._origin_ms += half_lives * HALF_LIFE_MS
