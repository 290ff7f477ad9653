"""Items whose texts are like those of what the user is after: where new items are found, which nobody has touched yet.

score(j) = sum over guides i of w_i * LIKENESS[numbers that the codes of i and j share] / (1 + log(1 + n_j))

Guides are the items a request starts from, the user's others, and what goes with the first by co-visitation, so what
behaviour knows of an item is carried to those that read like it. The popular (n signals) have sources of their own.
"""

import numpy as np
from numpy.typing import NDArray

from inference.tensors import CODES
from streams.compiled import compiled
from streams.features.item import Catalogue
from streams.ordering import best_first
from streams.retrieval.base import NOTHING, Asked, Found
from streams.retrieval.likeness import LIKENESS, shared

LIMIT = 60
HISTORY_READ, RELATED_READ = 40, 15
"""Guides of both kinds. More: a wider net, and a slower one."""
FADES = 0.5
"""The r-th guide from the start, from 0, weighs (r + 1) ** -FADES."""
RELATED_WEIGHT = 0.5
"""Weight of the item that goes best with the seeds, where the first seed's is 1."""


class Semantic:
    """Without codes it finds nothing; the order of the catalogue by code is worked out once for each version of it."""

    name = "semantic"
    kinds = frozenset({"for_you", "similar", "bundle"})
    weight = 1.0

    def __init__(self) -> None:
        self._version = -1
        self._items, self._starts = np.empty(0, np.int64), np.zeros(CODES + 2, np.int64)

    def find(self, asked: Asked) -> Found:
        """Return what reads like the guides, the most alike first; each names the seed that led there."""
        catalogue = asked.catalogue
        if catalogue.version != self._version:
            self._sort(catalogue)
        if not len(self._items) or not len(asked.seeds):
            return NOTHING
        found = asked.related
        own = asked.history.items[:HISTORY_READ] if asked.request.kind == "for_you" else asked.seeds
        best = best_first(found.total, catalogue.digest[found.items], RELATED_READ)
        guides = np.concatenate((own, found.items[best]))
        leaders = np.concatenate((own, asked.seeds[found.leader[best]]))
        weights = np.concatenate((np.arange(1.0, len(own) + 1) ** -FADES, _related_weights(found.total[best])))
        log_popular = asked.counters.popularity.logs("popular", len(catalogue))
        places, scores, led = _alike(catalogue.semantic, log_popular, self._items, self._starts, guides, weights)
        items = self._items[places]
        first = best_first(scores, catalogue.digest[items], LIMIT)
        return Found(items[first], leaders[led[first]])

    def _sort(self, catalogue: Catalogue) -> None:
        """Order the items that can be served and have a code by its first number."""
        size = len(catalogue)
        coded = np.flatnonzero((catalogue.semantic[:size, 0] > 0) & catalogue.servable[:size])
        first = catalogue.semantic[coded, 0]
        self._items = coded[np.argsort(first, kind="stable")]
        self._starts = np.concatenate(([0], np.cumsum(np.bincount(first, minlength=CODES + 1))))
        self._version = catalogue.version


def _related_weights(total: NDArray[np.float64]) -> NDArray[np.float64]:
    return RELATED_WEIGHT * total / max(float(total.max(initial=0.0)), 1e-12)


@compiled
def _alike(
    codes: NDArray[np.int32],
    log_popular: NDArray[np.float64],
    items: NDArray[np.int64],
    starts: NDArray[np.int64],
    guides: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the places in `items` of what is like a guide, its scores, and which guide says most for each.

    `items` (N,) are ordered by first number, those of number c from `starts`[c] to `starts`[c + 1].
    """
    score, best, by = np.zeros(len(items)), np.zeros(len(items)), np.zeros(len(items), np.int64)
    places, found = np.empty(len(items), np.int64), 0
    for g in range(len(guides)):
        code = codes[guides[g]]
        if code[0] == 0:
            continue
        for place in range(starts[code[0]], starts[code[0] + 1]):
            if items[place] == guides[g]:
                continue
            says = weights[g] * LIKENESS[shared(code, codes[items[place]])] / (1.0 + log_popular[items[place]])
            if says <= 0.0:
                continue
            if score[place] == 0.0:
                places[found] = place
                found += 1
            score[place] += says
            if says > best[place]:
                best[place], by[place] = says, g
    return places[:found], score[places[:found]], by[places[:found]]
