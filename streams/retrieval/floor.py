"""Any items at all, while a new shop has too little behaviour to say what is popular: better than an empty slate."""

import numpy as np

from streams.features.item import Catalogue
from streams.retrieval.base import NOTHING, Asked, Found
from streams.retrieval.trending import ALL_KINDS

LIMIT = 50


class Floor:
    """The same items for everybody, in the order of their digests; silent once LIMIT items are popular."""

    name = "catalogue"
    kinds = ALL_KINDS
    weight = 0.05

    def __init__(self) -> None:
        self._version = -1
        self._items = NOTHING

    def find(self, asked: Asked) -> Found:
        """Return up to LIMIT published items that may be served."""
        if len(asked.counters.popularity.best("popular")) >= LIMIT:
            return NOTHING
        if asked.catalogue.version != self._version:
            self._pick(asked.catalogue)
        return self._items

    def _pick(self, catalogue: Catalogue) -> None:
        size = len(catalogue)
        published = catalogue.published[:size] & catalogue.servable[:size]
        items = np.flatnonzero(published & catalogue.in_stock[:size])
        if len(items) > LIMIT:
            items = items[np.argpartition(catalogue.digest[items], LIMIT)[:LIMIT]]
        self._items = Found.of(items[np.argsort(catalogue.digest[items])])
        self._version = catalogue.version
