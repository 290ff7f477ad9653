"""Blends the sources into one list of candidates by weighted reciprocal rank fusion.

fused(j) = sum over sources s of weight_s / (RANK_OFFSET + rank_s(j)); Cormack, Clarke and Buettcher, SIGIR 2009.
Each candidate keeps the source that said most for it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams.features.encode import Candidates
from streams.retrieval.arrivals import Arrivals
from streams.retrieval.base import NOTHING, Asked, CandidateSource, Found
from streams.retrieval.covisit import Covisit
from streams.retrieval.filters import allowed
from streams.retrieval.floor import Floor
from streams.retrieval.grouping import group
from streams.retrieval.repeat import Repeat
from streams.retrieval.title import TitleWords
from streams.retrieval.trending import Best, TrendingInCategory

RANK_OFFSET = 20.0
GIVEN = "request"
"""The source of candidates that the caller gave (kind `rerank`)."""


def default_sources() -> tuple[CandidateSource, ...]:
    """Return a new set of every source there is."""
    return (
        Repeat(),
        Covisit(),
        TrendingInCategory(),
        Best("trending", "trend", 0.7),
        Best("popular", "popular", 0.5),
        Arrivals(),
        TitleWords(),
        Floor(),
    )


class Retriever:
    """Finds up to `limit` candidates for a request. Not thread-safe: it owns scratch space."""

    def __init__(self, limit: int, sources: Sequence[CandidateSource] | None = None) -> None:
        self.limit = limit
        self._sources = default_sources() if sources is None else tuple(sources)
        self.source_names = [source.name for source in self._sources] + [GIVEN]
        self.slots = np.full(1024, -1, np.int32)

    def find(self, asked: Asked) -> Candidates:
        """Return the candidates, best first, filtered, each once."""
        if asked.request.kind == "rerank":
            items = asked.catalogue.indices_of(dict.fromkeys(asked.request.items or ()))
            found = {len(self._sources): Found.of(items)}
        else:
            found = {
                number: source.find(asked)
                for number, source in enumerate(self._sources)
                if asked.request.kind in source.kinds
            } or {len(self._sources): NOTHING}
        self.fit_slots(len(asked.catalogue))  # which the items of a `rerank` may have grown
        return self._blend(asked, found)

    def fit_slots(self, size: int) -> None:
        """Make the scratch space (all -1) hold `size` items."""
        if size > len(self.slots):
            self.slots = np.full(2 * size, -1, np.int32)

    def _blend(self, asked: Asked, found: dict[int, Found]) -> Candidates:
        items = np.concatenate([f.items for f in found.values()])
        because = np.concatenate([f.because for f in found.values()])
        sources = np.repeat(list(found), [len(f.items) for f in found.values()])
        says = np.concatenate(
            [self._weight(number) / (RANK_OFFSET + np.arange(len(f.items))) for number, f in found.items()]
        )
        unique, where = group(items)
        fused = np.bincount(where, says, len(unique)).astype(np.float64)
        loudest = np.zeros(len(unique), np.int64)
        order = np.argsort(says, kind="stable")
        loudest[where[order]] = order
        ok = np.flatnonzero(allowed(asked, unique))
        limit = len(ok) if asked.request.kind == "rerank" else self.limit
        best = ok[np.lexsort((asked.catalogue.digest[unique[ok]], -fused[ok]))[:limit]]
        chosen, spoken = unique[best], loudest[best]
        return self._candidates(asked, chosen, sources[spoken], because[spoken], fused[best])

    def _candidates(
        self,
        asked: Asked,
        items: NDArray[np.int64],
        sources: NDArray[np.int64],
        because: NDArray[np.int64],
        fused: NDArray[np.float64],
    ) -> Candidates:
        size = len(asked.catalogue)
        popularity = asked.counters.popularity
        return Candidates(
            items=items,
            sources=sources,
            because=because,
            fused=fused,
            pairs=self._pairs(asked, items),
            trend=popularity.counts("trend", size)[items] / (1 << 16),
            popular=popularity.counts("popular", size)[items] / (1 << 16),
        )

    def _pairs(self, asked: Asked, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the co-visitation of each seed with each candidate, shape (S, K)."""
        pairs, found = np.zeros((len(asked.seeds), len(items))), asked.related
        self.slots[items] = np.arange(len(items), dtype=np.int32)
        slot = self.slots[found.items][found.place]
        self.slots[items] = -1
        here = slot >= 0
        pairs[found.seed[here], slot[here]] = found.score[here]
        return pairs

    def _weight(self, number: int) -> float:
        return self._sources[number].weight if number < len(self._sources) else 1.0
