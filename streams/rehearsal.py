"""A request before the first one, in a shop that nobody sees: what is compiled at first use is compiled by then.

Compiling takes seconds once for a version of the sources, and loading what was compiled a part of one in each process.
No user is to wait for either.
"""

from functools import cache

import numpy as np

from inference.tensors import HEADS
from streams.contracts import events as ev
from streams.contracts.items import Item
from streams.features.counts import count, new_counts
from streams.features.item import Catalogue
from streams.features.user import EMPTY, fold
from streams.recommend import Ask, Recommender
from streams.retrieval.blend import Retriever
from streams.retrieval.counters import Counters
from streams.slate.explore import Exploration
from streams.store.base import Change, Row

_ITEMS, _EVENTS = 200, 1_200
"""Enough for the rows of co-visitation to outgrow the arrays that they begin with."""
_AT_MS = 1_500_000_000_000


@cache
def rehearse() -> None:
    """Make one slate for a visitor with a history; only the first call in a process does anything."""
    catalogue = Catalogue()
    for n in range(_ITEMS):
        i = catalogue.upsert(
            Item(item_id=str(n), title=f"item {n}", brand="b", category=["c", f"d{n % 7}"], price=1.0 + n)
        )
        catalogue.semantic[i] = 1 + n % 7
    counters, counts, state = Counters(catalogue), new_counts(), EMPTY
    for n in range(_EVENTS):
        event = ev.Purchase(user_id="visitor", item_id=str(n * n // 3 % _ITEMS), order_id=str(n))
        count(counts, state, event, _AT_MS + n)
        state = fold(state, event, _AT_MS + n)
    counters.apply([Change(0, [Row(name, list(fields), list(fields.values())) for name, fields in counts.items()])])
    recommender = Recommender(catalogue, counters, Retriever(_ITEMS), None, 0.0, exploration=Exploration(share=0.5))
    request = ev.Request(user_id="visitor", request_id="rehearsal")
    prepared = recommender.prepare(Ask("rehearsal", request, None, state, _AT_MS + _EVENTS, _AT_MS + _EVENTS))
    inputs = recommender.tensors([prepared])
    p = np.full((*inputs.item_ids.shape, len(HEADS)), 0.5, np.float32)
    recommender.slate(prepared, p[0], "rehearsal", None, _AT_MS)
    recommender.slate(prepared, None, None, "rehearsal", _AT_MS)
