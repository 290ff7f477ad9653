"""Search by title words, until there is semantic search: score = sum of the idf of the words that match."""

import math
from collections import Counter

import numpy as np

from streams.features.item import words
from streams.retrieval.base import Asked, Found

LIMIT = 200


class TitleWords:
    """Items whose title shares words with the query; rare words count more."""

    name = "title"
    kinds = frozenset({"search"})
    weight = 10.0

    def find(self, asked: Asked) -> Found:
        """Return the matches, best first, ties by popularity."""
        catalogue, scores = asked.catalogue, Counter[int]()
        for word in sorted(words(asked.request.query or "")):
            matches = catalogue.postings.get(word, ())
            idf = math.log1p(len(catalogue) / (1 + len(matches)))
            for item in matches:
                scores[item] += idf  # type: ignore[assignment]
        items = np.fromiter(scores.keys(), np.int64, len(scores))
        score = np.fromiter(scores.values(), np.float64, len(scores))
        popular = asked.counters.popularity.counts("popular", len(catalogue))[items]
        return Found.of(items[np.lexsort((catalogue.digest[items], -popular, -score))[:LIMIT]])
