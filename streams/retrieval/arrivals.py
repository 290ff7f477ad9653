"""New arrivals: items whose `created_ms` lies in the last weeks, those of the user's categories first."""

import numpy as np

from streams.features.item import Catalogue
from streams.retrieval.base import NOTHING, Asked, Found
from streams.retrieval.trending import LEVEL, favourite_categories

NEW_FOR_MS = 30 * 86_400_000
LIMIT = 50


class Arrivals:
    """The newest items first; their order is worked out once for each version of the catalogue."""

    name = "new"
    kinds = frozenset({"for_you"})
    weight = 0.5

    def __init__(self) -> None:
        self._version = -1
        self._newest = np.empty(0, np.int64)

    def find(self, asked: Asked) -> Found:
        """Return what is new as of the request, the user's categories first."""
        catalogue = asked.catalogue
        if catalogue.version != self._version:
            self._sort(catalogue)
        created = catalogue.created_ms[self._newest]
        fresh = self._newest[(created <= asked.at_ms) & (created > asked.at_ms - NEW_FOR_MS)]
        if not len(fresh):
            return NOTHING
        liked = np.isin(catalogue.category[fresh, LEVEL], favourite_categories(asked))
        return Found.of(np.concatenate((fresh[liked], fresh[~liked]))[:LIMIT])

    def _sort(self, catalogue: Catalogue) -> None:
        size = len(catalogue)
        dated = np.flatnonzero((catalogue.created_ms[:size] > 0) & catalogue.servable[:size])
        self._newest = dated[np.lexsort((catalogue.digest[dated], -catalogue.created_ms[dated]))]
        self._version = catalogue.version
