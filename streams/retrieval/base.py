"""What a candidate source is given, and what it gives back. Adding one: a file, and a line in `blend.SOURCES`."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from streams.contracts.events import Request
from streams.features.encode import History
from streams.features.item import Catalogue
from streams.features.user import UserState
from streams.retrieval.counters import Counters
from streams.retrieval.related import Related


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, resolved: who asks, and from which items to start.

    `seeds` are catalogue indices (S,), the most telling first; `related` is what goes with them.
    """

    request: Request
    at_ms: int
    state: UserState
    history: History
    seeds: NDArray[np.int64]
    related: Related
    catalogue: Catalogue
    counters: Counters


class Found(NamedTuple):
    """Candidates of one source, best first: catalogue indices (N,), and for each the item that led there or -1.

    Of an item that comes twice, the first place counts.
    """

    items: NDArray[np.int64]
    because: NDArray[np.int64]

    @classmethod
    def of(cls, items: NDArray[np.int64]) -> "Found":
        """Candidates that no other item led to."""
        return cls(items, _NO_ITEM[: len(items)] if len(items) <= len(_NO_ITEM) else np.full(len(items), -1, np.int64))


_NO_ITEM = np.full(1_024, -1, np.int64)
"""Shared by most sources' answers, so don't write to it."""
NOTHING = Found.of(np.empty(0, np.int64))


class CandidateSource(Protocol):
    """Finds candidates for a request; deterministic, ties broken by the items' digests, no I/O."""

    name: str
    kinds: frozenset[str]
    """The kinds of request that it serves."""
    weight: float
    """Its say in the blend."""

    def find(self, asked: Asked) -> Found:
        """Return candidates, best first, filters not yet applied."""
        ...
