"""What many people want: lately (trending), on the whole (popular), in the categories that a user or item is about."""

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled
from streams.features.item import NO_CODE
from streams.ordering import best_first
from streams.retrieval.base import Asked, Found
from streams.retrieval.popularity import Span

CATEGORIES = 5
"""How many of the user's categories are looked into."""
LEVEL = 1
"""The level of the category path whose trends are looked up."""
PER_CATEGORY = 40
ALL_KINDS = frozenset({"for_you", "similar", "bundle", "search"})


def favourite_categories(asked: Asked) -> list[int]:
    """Return the category codes of the seeds (or of all the user's items), the most frequent first."""
    about = asked.seeds if asked.request.kind != "for_you" else asked.history.items
    catalogue = asked.catalogue
    favourites: list[int] = _most_frequent(catalogue.category[:, LEVEL].take(about), catalogue.code_digests).tolist()
    return favourites


def wanted_categories(asked: Asked) -> list[int]:
    """Return the category codes that the request's filter names."""
    by_name = asked.catalogue.codes_by_name
    wanted = {code for name in asked.request.filters.category for code in by_name.get(name, ())}
    return sorted(wanted, key=asked.catalogue.code_digests.__getitem__)


@compiled
def _most_frequent(codes: NDArray[np.int32], digests: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return up to CATEGORIES different codes, ties by digest: the numbers of codes differ from process to process."""
    highest = NO_CODE
    for code in codes:
        highest = max(highest, code)
    counts = np.zeros(highest + 1)
    for code in codes:
        counts[code] += 1.0
    counts[NO_CODE] = 0.0
    found = np.flatnonzero(counts)
    favourites: NDArray[np.int64] = found[best_first(counts[found], digests[found], CATEGORIES)]
    return favourites


class Best:
    """The top of all items, by recent or by long-term demand; within the categories of a filter, if there is one."""

    kinds = ALL_KINDS

    def __init__(self, name: str, span: Span, weight: float) -> None:
        self.name, self.weight, self._span = name, weight, span

    def find(self, asked: Asked) -> Found:
        """Return the most demanded items, best first."""
        best = asked.counters.popularity.best
        if not asked.request.filters.category:
            return Found.of(best(self._span))
        return Found.of(_interleaved([best(self._span, code) for code in wanted_categories(asked)]))


class TrendingInCategory:
    """What is in demand in the user's favourite categories, or in those of the item that is looked at."""

    name = "trending_category"
    kinds = ALL_KINDS
    weight = 1.0

    def find(self, asked: Asked) -> Found:
        """Return the trends of each category in turn."""
        best = asked.counters.popularity.best
        return Found.of(_interleaved([best("trend", code)[:PER_CATEGORY] for code in favourite_categories(asked)]))


def _interleaved(lists: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Merge ranked lists by turns; what is in several of them comes several times."""
    if not lists:
        return np.empty(0, np.int64)
    return _by_turns(np.concatenate(lists), np.array([len(items) for items in lists]))


@compiled
def _by_turns(items: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Merge the lists of `sizes` (L,) that lie one behind the other in `items` (N,)."""
    merged, n = np.empty_like(items), 0
    for rank in range(sizes.max()):
        start = 0
        for size in sizes:
            if rank < size:
                merged[n] = items[start + rank]
                n += 1
            start += size
    return merged
