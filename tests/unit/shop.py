"""A small shop: a catalogue with counters, and what the sources and the recommender are asked in it."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from streams.contracts.events import Request
from streams.contracts.items import Item
from streams.features.counts import DAY_MS, MONTH_DAYS
from streams.features.encode import Candidates, History
from streams.features.item import Catalogue
from streams.features.user import EMPTY, UserState
from streams.recommend import Ask, Recommender
from streams.retrieval.base import Asked, CandidateSource, Found
from streams.retrieval.blend import Retriever
from streams.retrieval.counters import Counters
from streams.retrieval.related import related
from streams.store.base import Change, Row
from tests.unit.building import T0, event

TODAY = T0 // DAY_MS
MONTH = TODAY // MONTH_DAYS


class Shop:
    """Items, demand (`sold`) and co-visitation (`together`)."""

    def __init__(self, *items: Item) -> None:
        self.catalogue = Catalogue()
        self.counters = Counters(self.catalogue)
        self.recommender = Recommender(self.catalogue, self.counters, Retriever(200), None, 0.1)
        for one in items:
            self.catalogue.upsert(one)

    def sold(self, day: int = TODAY, signal: str = "p", partition: int = 0, **counts: int) -> "Shop":
        """Set how often each item got a signal on a day."""
        self._change(partition, *(Row(f"i:{i}", [f"{day}:{signal}"], [n]) for i, n in counts.items()))
        return self

    def together(self, first: str, then: str, value: int = 1000, month: int = MONTH, partition: int = 0) -> "Shop":
        """Set how much `then` came after `first`."""
        self._change(partition, Row(f"b:{then}", [f"{month}:{first}"], [value]))
        return self

    def _change(self, partition: int, *rows: Row) -> None:
        self.counters.apply([Change(partition, rows)])

    def asked(self, kind: str = "for_you", state: UserState = EMPTY, at_ms: int = T0, **fields: Any) -> Asked:
        """Return a request of this kind, resolved."""
        ask = self.ask(kind, state, at_ms, **fields)
        history = History.of(state, self.catalogue)
        seeds = self.recommender._seeds(ask, history)  # noqa: SLF001 (what `prepare` gives to the sources)
        self.recommender.retriever.fit_slots(len(self.catalogue))
        found = related(self.counters, seeds, self.recommender.retriever.slots)
        return Asked(ask.request, at_ms, state, history, seeds, found, self.catalogue, self.counters)

    def ask(self, kind: str = "for_you", state: UserState = EMPTY, at_ms: int = T0, **fields: Any) -> Ask:
        """Return a request at its place in the log."""
        request: Request = event("request", request_id="r", kind=kind, **fields)
        return Ask("0-0-7", request, "r", state, at_ms, at_ms)

    def names(self, indices: Iterable[int]) -> list[str]:
        """Return the ids of catalogue indices; "" for -1."""
        return [self.catalogue.ids[i] if i >= 0 else "" for i in indices]

    def find(self, source: CandidateSource, kind: str = "for_you", **asked: Any) -> list[str]:
        """Return the ids that a source finds."""
        return self.names(self.found(source, kind, **asked).items.tolist())

    def found(self, source: CandidateSource, kind: str = "for_you", **asked: Any) -> Found:
        """Return what a source finds."""
        return source.find(self.asked(kind, **asked))

    def candidates(self, kind: str = "for_you", limit: int = 200, **asked: Any) -> list[str]:
        """Return the ids of all candidates of a request, best first."""
        return self.names(self.blended(kind, limit, **asked).items.tolist())

    def blended(self, kind: str = "for_you", limit: int = 200, **asked: Any) -> Candidates:
        """Return all candidates of a request; the scratch space is clean before and after."""
        retriever = Retriever(limit)
        candidates = retriever.find(self.asked(kind, **asked))
        assert np.all(retriever.slots == -1)
        return candidates
