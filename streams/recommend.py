"""The whole way from a user's state to a slate, on one page: retrieve, encode, rank, select.

A micro-batch of requests costs one ranker call. If the ranker can't answer in time, the blend of the candidate
sources decides alone, and the slate says so (`served_by`, `because`): degraded, never failed.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.ranker import Ranked, Ranker, RankerInputs
from inference.tensors import SEEDS
from streams.contracts.events import Request
from streams.contracts.slates import ServedBy, Slate
from streams.errors import RankerUnavailable
from streams.features.encode import Candidates, History, features, history_codes, history_ids
from streams.features.item import Catalogue
from streams.features.user import UserState
from streams.online.score import Scorer, Where, buckets
from streams.online.terms import moment
from streams.retrieval.base import Asked
from streams.retrieval.blend import Retriever
from streams.retrieval.counters import Counters
from streams.retrieval.filters import basket
from streams.retrieval.related import related
from streams.slate.explore import Exploration
from streams.slate.select import select, worth

_log = logging.getLogger(__name__)
LANES = 8
"""Candidates are padded to a multiple: what is left over from a vector register, onnxruntime rounds in another way."""


Route = Callable[[Sequence[str]], Sequence[tuple[Ranker, Sequence[int]]]]
"""From the users of a batch to who ranks for which of them, by their places; each is called once."""
Scored = tuple[NDArray[np.float32] | None, str | None, str | None]
"""What became of one ask: p (K, H) and the model that gave it, or neither and because of what."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request at its place in the log: `state` is the user's at that offset, times are in milliseconds.

    `request_id` is None for a slate that nobody asked for (a push). `received_ms` is when Kafka got the request.
    """

    slate_id: str
    request: Request
    request_id: str | None
    state: UserState
    at_ms: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """An ask with its candidates, and their features (K, F)."""

    ask: Ask
    history: History
    candidates: Candidates
    features: NDArray[np.float32]


class Recommender:
    """Makes slates from the catalogue and counters it was given; deterministic but for `latency_ms` and `at_ms`."""

    def __init__(
        self,
        catalogue: Catalogue,
        counters: Counters,
        retriever: Retriever,
        ranker: Ranker | None,
        timeout_s: float,
        route: Route | None = None,
        exploration: Exploration = Exploration(),  # noqa: B008 (frozen: it may be shared)
        scorer: Callable[[], Scorer | None] = lambda: None,
    ) -> None:
        """`route` says who ranks for whom; without it `ranker` does for all. `scorer` returns the online model."""
        self.catalogue = catalogue
        self.counters = counters
        self.retriever = retriever
        self._ranker = ranker
        self._timeout_s = timeout_s
        self._route = route
        self._exploration = exploration
        self._scorer = scorer
        self._buckets = buckets(retriever.source_names)

    def prepare(self, ask: Ask) -> Prepared:
        """Retrieve and encode the candidates of one ask: everything before the ranker. No I/O."""
        catalogue = self.catalogue
        history = History.of(ask.state, catalogue)
        seeds = self._seeds(ask, history)
        self.retriever.fit_slots(len(catalogue))
        goes_with = related(self.counters, seeds, self.retriever.slots)
        asked = Asked(ask.request, ask.at_ms, ask.state, history, seeds, goes_with, catalogue, self.counters)
        candidates = self.retriever.find(asked)
        self.retriever.fit_slots(len(catalogue))
        encoded = features(
            ask.state,
            history,
            candidates,
            catalogue,
            kind=ask.request.kind,
            at_ms=ask.at_ms,
            slots=self.retriever.slots,
        )
        return Prepared(ask, history, candidates, encoded)

    async def score(self, prepared: Sequence[Prepared]) -> list[Scored]:
        """Score all candidates of each ask by whoever ranks for its user: one call a version that serves."""
        if self._route is None:
            routes: Sequence[tuple[Ranker | None, Sequence[int]]] = [(self._ranker, range(len(prepared)))]
        else:
            routes = self._route([one.ask.request.user_id for one in prepared])
        scored: dict[int, Scored] = {}
        for ranker, places in routes:
            ranked, because = await self._call(ranker, [prepared[place] for place in places])
            for row, place in enumerate(places):
                scored[place] = (ranked.p[row], ranked.model, because) if ranked else (None, None, because)
        return [scored[place] for place in range(len(prepared))]

    async def rank(self, prepared: Sequence[Prepared]) -> tuple[Ranked | None, str | None]:
        """Score all candidates of all asks in one call; None with the reason if that was not possible."""
        return await self._call(self._ranker, prepared)

    async def _call(self, ranker: Ranker | None, prepared: Sequence[Prepared]) -> tuple[Ranked | None, str | None]:
        if ranker is None:
            return None, "no ranker is configured"
        if not any(len(one.candidates.items) for one in prepared):
            return None, "no candidates"
        try:
            return await ranker.rank(self.tensors(prepared), self._timeout_s), None
        except RankerUnavailable as exc:
            return None, str(exc)
        except Exception as exc:  # whatever is wrong with the ranker must not stop the partition
            _log.exception("ranker failed")
            return None, f"ranker failed: {type(exc).__name__}"

    def tensors(self, prepared: Sequence[Prepared]) -> RankerInputs:
        """Return the ranker's inputs, padded to the usual number of candidates, so that rounding is always the same."""
        longest = max(self.retriever.limit, *(len(one.candidates.items) for one in prepared))
        longest += -longest % LANES
        inputs = RankerInputs.zeros(len(prepared), longest)
        for row, one in enumerate(prepared):
            size = len(one.candidates.items)
            found = one.candidates
            inputs.features[row, :size] = one.features
            inputs.pairs[row, :size] = found.counts
            inputs.seeds[row, : len(found.seeds)] = found.seeds
            inputs.item_ids[row, :size] = self.catalogue.hashed[found.items]
            inputs.history_ids[row] = history_ids(one.history, self.catalogue)
            inputs.item_codes[row, :size] = self.catalogue.semantic.take(found.items, 0)
            inputs.history_codes[row] = history_codes(one.history, self.catalogue)
        return inputs

    def slate(
        self,
        one: Prepared,
        p: NDArray[np.float32] | None,
        model: str | None,
        because: str | None,
        now_ms: int,
    ) -> Slate:
        """Make the slate of one ask; `p` (>= K, H) are its probabilities, None if no ranker scored it."""
        candidates, request = one.candidates, one.ask.request
        if not len(candidates.items):  # whatever else was ranked with it
            p, model, because = None, None, "no candidates"
        p = None if p is None else p[: len(candidates.items)]
        scores, served_by, online = self._scores(one, p)
        explored = self._exploration.covers(request)
        items = select(
            candidates,
            scores,
            p,
            k=request.k,
            catalogue=self.catalogue,
            source_names=self.retriever.source_names,
            exploration=self._exploration if explored else None,
            seen=self._seen(candidates) if explored else None,
            slate_id=one.ask.slate_id,
        )
        return Slate(
            slate_id=one.ask.slate_id,
            request_id=one.ask.request_id,
            user_id=request.user_id,
            kind=request.kind,
            at_ms=now_ms,
            items=items,
            model=model,
            served_by=served_by,
            because=because,
            latency_ms=float(max(0, now_ms - one.ask.received_ms)),
            online=online,
        )

    def _scores(
        self, one: Prepared, p: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float64], ServedBy, int | msgspec.UnsetType]:
        """Return the scores (K,) of the candidates, by whom, and the version of the online model if it had a say."""
        candidates, scorer = one.candidates, self._scorer()
        if scorer is None or not len(candidates.items):
            if p is None:
                return np.round(candidates.fused, 6), "popular", msgspec.UNSET
            return worth(p), "triton", msgspec.UNSET
        where = self._where(candidates, one.ask)
        if p is None:
            return np.round(scorer.alone(one.features, where), 6), "online", scorer.version
        return worth(scorer.blended(p, where)), "triton", scorer.version

    def _seen(self, candidates: Candidates) -> NDArray[np.float64] | None:
        scorer = self._scorer()
        return None if scorer is None else scorer.seen(self.catalogue.digest[candidates.items])

    def _where(self, candidates: Candidates, ask: Ask) -> Where:
        catalogue, device = self.catalogue, (ask.request.context or {}).get("device")
        return Where(
            items=catalogue.digest[candidates.items],
            categories=catalogue.code_digests[catalogue.category[candidates.items, 0]],
            sources=self._buckets[candidates.sources],
            moment=moment(ask.at_ms, device if isinstance(device, str) else None),
        )

    def _seeds(self, ask: Ask, history: History) -> NDArray[np.int64]:
        """Return the items from which to start: the given one, the basket, or the latest of the user."""
        request, index_of = ask.request, self.catalogue.indices_of
        if request.kind == "similar":
            return index_of([request.item_id or ""])
        if request.kind == "bundle":
            return index_of(list(dict.fromkeys(basket(request, ask.state)))[-SEEDS:][::-1])
        return history.items[:SEEDS]
