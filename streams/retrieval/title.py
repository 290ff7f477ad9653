"""Search by title words, until there is semantic search: score = sum of the idf of the words that match."""

import math

import numpy as np
from numpy.typing import NDArray

from streams.features.item import Catalogue, words
from streams.retrieval.base import NOTHING, Asked, Found
from streams.retrieval.grouping import group

LIMIT = 200
MAX_CACHED_WORDS = 10_000
"""Words whose matches are kept as arrays between two changes of the catalogue."""


class TitleWords:
    """Items whose title shares words with the query; rare words count more."""

    name = "title"
    kinds = frozenset({"search"})
    weight = 10.0

    def __init__(self) -> None:
        self._version = -1
        self._matches: dict[str, NDArray[np.int64]] = {}

    def find(self, asked: Asked) -> Found:
        """Return the matches, best first, ties by popularity."""
        catalogue = asked.catalogue
        matches = [self._items(catalogue, word) for word in sorted(words(asked.request.query or ""))]
        matches = [items for items in matches if len(items)]
        if not matches:
            return NOTHING
        items, place = group(np.concatenate(matches))
        idf = [math.log1p(len(catalogue) / (1 + len(some))) for some in matches]
        score = np.bincount(place, np.repeat(idf, [len(some) for some in matches]), len(items))
        if len(items) > LIMIT:
            best = np.flatnonzero(score >= np.partition(score, -LIMIT)[-LIMIT])
            items, score = items[best], score[best]
        popular = asked.counters.popularity.counts("popular", len(catalogue))[items]
        return Found.of(items[np.lexsort((catalogue.digest[items], -popular, -score))[:LIMIT]])

    def _items(self, catalogue: Catalogue, word: str) -> NDArray[np.int64]:
        """Return the items with the word in their title, shape (N,)."""
        if catalogue.version != self._version or len(self._matches) > MAX_CACHED_WORDS:
            self._matches.clear()
            self._version = catalogue.version
        items = self._matches.get(word)
        if items is None:
            found = catalogue.postings.get(word, ())
            items = self._matches[word] = np.sort(np.fromiter(found, np.int64, len(found)))
        return items
