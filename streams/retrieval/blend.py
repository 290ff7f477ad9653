"""Blends the sources into one list of candidates by weighted reciprocal rank fusion.

fused(j) = sum over sources s of weight_s / (RANK_OFFSET + rank_s(j)); Cormack, Clarke and Buettcher, SIGIR 2009.
Each candidate keeps the source that said most for it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.tensors import SEEDS
from streams.compiled import compiled
from streams.errors import Misuse
from streams.features.encode import Candidates
from streams.ordering import best_first
from streams.retrieval.arrivals import Arrivals
from streams.retrieval.base import NOTHING, Asked, CandidateSource, Found
from streams.retrieval.covisit import Covisit
from streams.retrieval.filters import allowed
from streams.retrieval.floor import Floor
from streams.retrieval.likeness import borrow
from streams.retrieval.pairs import AFTER, BEFORE
from streams.retrieval.popularity import UNIT
from streams.retrieval.repeat import Repeat
from streams.retrieval.semantic import Semantic
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
        Semantic(),
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
        self._weights = np.array([*(source.weight for source in self._sources), 1.0])
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
        items, sizes = np.concatenate([f.items for f in found.values()]), [len(f.items) for f in found.values()]
        limit = len(items) if asked.request.kind == "rerank" else self.limit
        chosen, sources, loudest, fused = _fuse(
            items, allowed(asked, items), np.array(sizes), np.array(list(found)), self._weights, limit,
            asked.catalogue.digest, self.slots,
        )  # fmt: skip
        because = np.concatenate([f.because for f in found.values()])[loudest]
        popularity, size, goes_with = asked.counters.popularity, len(asked.catalogue), asked.related
        pairs, counts = _spread(
            goes_with.items, goes_with.place, goes_with.sizes, goes_with.score, goes_with.rows, chosen, self.slots
        )
        log_popular = popularity.logs("popular", size)[chosen]
        borrow(asked.catalogue.semantic.take(chosen, 0), log_popular, pairs, counts)
        return Candidates(
            items=chosen,
            sources=sources,
            because=because,
            fused=fused,
            pairs=pairs,
            counts=counts,
            seeds=popularity.counts("popular", size)[asked.seeds] / UNIT,
            log_trend=popularity.logs("trend", size)[chosen],
            log_popular=log_popular,
        )


@compiled
def _fuse(
    items: NDArray[np.int64],
    ok: NDArray[np.bool_],
    sizes: NDArray[np.int64],
    numbers: NDArray[np.int64],
    weights: NDArray[np.float64],
    limit: int,
    digest: NDArray[np.uint64],
    slots: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Fuse lists that lie one behind the other in `items` (N,), of `sizes` (L,), by the sources `numbers` (L,).

    Returns, of the best `limit` items that are `ok` (N,), the best first: the items, the source that says most for
    each, where in `items` it says so, and the scores.
    """
    size, found, end = len(items), 0, 0
    unique, fused, best = np.empty(size, np.int64), np.zeros(size), np.zeros(size)
    loudest, by, last = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    for place in range(len(sizes)):
        source, start, end = numbers[place], end, end + sizes[place]
        for n in range(start, end):
            if not ok[n]:
                continue
            says = weights[source] / (RANK_OFFSET + (n - start))
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
    chosen = best_first(fused[:found], digest[unique[:found]], limit)
    return unique[chosen], by[chosen], loudest[chosen], fused[chosen]


@compiled
def _spread(
    found: NDArray[np.int64],
    place: NDArray[np.int32],
    sizes: NDArray[np.int64],
    score: NDArray[np.float64],
    rows: NDArray[np.float64],
    candidates: NDArray[np.int64],
    slots: NDArray[np.int32],
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return `pairs` and `counts` of `Candidates`; all arguments but the last two are of `Related`."""
    pairs = np.zeros((len(candidates), SEEDS))
    counts = np.zeros((len(candidates), 2 * SEEDS), np.float32)
    for k in range(len(candidates)):
        slots[candidates[k]] = k
    end = 0
    for seed in range(len(sizes)):
        start, end = end, end + sizes[seed]
        for n in range(start, end):
            k = slots[found[place[n]]]
            if k >= 0:
                pairs[k, seed] = score[n]
                counts[k, seed], counts[k, SEEDS + seed] = rows[n, AFTER], rows[n, BEFORE]
    for k in range(len(candidates)):
        slots[candidates[k]] = -1
    return pairs, counts
