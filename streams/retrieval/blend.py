"""Blends the sources into one list of candidates by weighted reciprocal rank fusion.

fused(j) = sum over sources s of weight_s / (RANK_OFFSET + rank_s(j)); Cormack, Clarke and Buettcher, SIGIR 2009.
Each candidate keeps the source that said most for it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled
from streams.errors import Misuse
from streams.features.encode import Candidates
from streams.ordering import best_first
from streams.retrieval.arrivals import Arrivals
from streams.retrieval.base import NOTHING, Asked, CandidateSource, Found
from streams.retrieval.covisit import Covisit
from streams.retrieval.filters import allowed
from streams.retrieval.floor import Floor
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


def named_sources(names: Sequence[str]) -> tuple[CandidateSource, ...]:
    """Return the sources of these names, all if there are none, in the order of `default_sources`.

    Raises:
        Misuse: there is no source of that name, or it is named twice.
    """
    sources = default_sources()
    known = [source.name for source in sources]
    for name in names:
        if name not in known:
            raise Misuse(f"sources: no candidate source {name!r}: choose from {', '.join(known)}")
    if len(set(names)) < len(names):
        raise Misuse("sources: a candidate source is named twice")
    return tuple(source for source in sources if not names or source.name in names)


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
        offsets = np.zeros(len(found) + 1, np.int64)
        np.cumsum([len(f.items) for f in found.values()], out=offsets[1:])
        weights = np.array([self._weight(number) for number in found])
        unique, fused, loudest, by = _fuse(items, offsets, weights, self.slots)
        ok = np.flatnonzero(allowed(asked, unique))
        limit = len(ok) if asked.request.kind == "rerank" else self.limit
        best = ok[best_first(fused[ok], asked.catalogue.digest[unique[ok]], limit)]
        because = np.concatenate([f.because for f in found.values()])[loudest[best]]
        return self._candidates(asked, unique[best], np.array(list(found))[by[best]], because, fused[best])

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
            **self._pairs(asked, items),
            trend=popularity.counts("trend", size)[items] / (1 << 16),
            popular=popularity.counts("popular", size)[items] / (1 << 16),
        )

    def _pairs(self, asked: Asked, items: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Return the co-visitation of each seed with each candidate, three times (S, K), and `seeds` (S,)."""
        found = asked.related
        pairs, forward, backward = (np.zeros((len(asked.seeds), len(items))) for _ in range(3))
        _spread(
            found.items, found.place, found.offsets, items, self.slots,
            found.score, found.forward, found.backward, pairs, forward, backward,
        )  # fmt: skip
        return {"pairs": pairs, "forward": forward, "backward": backward, "seeds": found.popular}

    def _weight(self, number: int) -> float:
        return self._sources[number].weight if number < len(self._sources) else 1.0


@compiled
def _fuse(
    items: NDArray[np.int64],
    offsets: NDArray[np.int64],
    weights: NDArray[np.float64],
    slots: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Fuse the lists from `offsets`[s] to `offsets`[s + 1] of `items` (N,), of weight `weights` (S,).

    Returns the different items (U,), their scores, the place in `items` that says most for each, and its list.
    """
    size, found = len(items), 0
    unique, fused, best = np.empty(size, np.int64), np.zeros(size), np.zeros(size)
    loudest, by, last = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    for source in range(len(weights)):
        for n in range(offsets[source], offsets[source + 1]):
            says = weights[source] / (RANK_OFFSET + (n - offsets[source]))
            at = slots[items[n]]
            if at < 0:
                at = slots[items[n]] = found
                unique[at], last[at] = items[n], -1
                found += 1
            if last[at] == source:
                continue  # a source says its word once, where an item comes first
            last[at] = source
            fused[at] += says
            if says >= best[at]:
                best[at], loudest[at], by[at] = says, n, source
    for at in range(found):
        slots[unique[at]] = -1
    return unique[:found], fused[:found], loudest[:found], by[:found]


@compiled
def _spread(
    found: NDArray[np.int64],
    place: NDArray[np.int32],
    offsets: NDArray[np.int64],
    candidates: NDArray[np.int64],
    slots: NDArray[np.int32],
    score: NDArray[np.float64],
    forward: NDArray[np.float64],
    backward: NDArray[np.float64],
    pairs: NDArray[np.float64],
    after: NDArray[np.float64],
    before: NDArray[np.float64],
) -> None:
    """Write `score`, `forward` and `backward` of each seed for each candidate (K,) into the last three, (S, K).

    All others but `slots` are of `Related`.
    """
    for k in range(len(candidates)):
        slots[candidates[k]] = k
    for seed in range(len(offsets) - 1):
        for n in range(offsets[seed], offsets[seed + 1]):
            k = slots[found[place[n]]]
            if k >= 0:
                pairs[seed, k], after[seed, k], before[seed, k] = score[n], forward[n], backward[n]
    for k in range(len(candidates)):
        slots[candidates[k]] = -1
