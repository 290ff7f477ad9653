"""Streamrank itself as it is evaluated: the worker's own pipeline in this process, state in memory, one partition.

Events go through `Pipeline` as Kafka would bring them, and a case is asked as a request would be, with the state and
the counters that all events before it left. Nothing is approximated but `unlearned` items, which become signals of the
asking user that no counter saw.
"""

import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from inference.ranker import Ranked, Ranker, RankerInputs
from inference.tensors import HEADS, MAX_BATCH_SIZE
from streams.contracts import events as ev
from streams.contracts.items import Item
from streams.contracts.topics import EVENTS
from streams.contracts.wire import MIN_AT_MS
from streams.decode import Record
from streams.errors import RankerUnavailable
from streams.evaluation.base import Case
from streams.evaluation.log import Entry
from streams.features.user import EMPTY, UserState, current, fold, unpack_state
from streams.recommend import Ask, Prepared
from streams.settings import Settings
from streams.simulate import load_items, offline_pipeline, offline_settings
from streams.store.memory import MemoryStore

BATCH_EVENTS = 5_000
"""Events between two commits, unless a case comes: states and rows that many of them change are written once."""
PARTITION = 0
_AS_SIGNAL: dict[str, Any] = {"view": ev.View, "cart": ev.Cart, "purchase": ev.Purchase}
"""What an unlearned item becomes, by the kind of the case; a click for all others."""
_HEADS = {"cart": HEADS.index("cart"), "purchase": HEADS.index("purchase")}
_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """What a case got: `items` best first, with their `sources`, and the share of its targets that were candidates.

    `p` are the probabilities of the head that the case is about; there are none if no ranker scored the items.
    `reasons` say of each item why it is there.
    """

    items: list[str]
    sources: list[str]
    p: list[float]
    ceiling: float
    reasons: Sequence[str] = ()


class Streamrank:
    """See the module. Not thread-safe, but a fork of the process may go on with a copy."""

    name = "streamrank"

    def __init__(self, settings: Settings, items: Iterable[Item], ranker: Ranker | None) -> None:
        """`ranker` None leaves ranking to the blend of the sources."""
        self._store = MemoryStore()
        self._ranker = None if ranker is None else _Timed(ranker)
        self._pipeline = offline_pipeline(offline_settings(settings), self._ranker, self._store)
        load_items(self._pipeline, items)
        asyncio.run(self._open())
        self._waiting: list[Record] = []
        self._offset = 0
        self._stale = False
        self.learn_seconds = self.rank_seconds = 0.0
        """Time spent; `rank_seconds` includes `ranker_seconds`."""

    @property
    def ranker_seconds(self) -> float:
        """The time in the ranker's network."""
        return self._ranker.seconds if self._ranker else 0.0

    @property
    def categories(self) -> dict[str, str]:
        """The category path of each item that has one, by id."""
        catalogue = self._pipeline.catalogue
        return {item: "/".join(path) for item, path in zip(catalogue.ids, catalogue.categories, strict=True) if path}

    @property
    def titles(self) -> dict[str, str]:
        """The title of each item that has one."""
        catalogue = self._pipeline.catalogue
        return {item: title for item, title in zip(catalogue.ids, catalogue.titles, strict=True) if title}

    @property
    def item_ids(self) -> list[str]:
        """The items of the catalogue; not those that only events or cases name, as forks know of different ones."""
        catalogue = self._pipeline.catalogue
        return [catalogue.ids[i] for i in np.flatnonzero(catalogue.published[: len(catalogue)])]

    def learn(self, entry: Entry) -> None:
        """Take in an event; a `request` changes the state, and is not answered."""
        raw = entry.raw
        if isinstance(entry.event, ev.Request):
            raw = _encode(msgspec.structs.replace(entry.event, deadline_ms=MIN_AT_MS))
        self._put(entry.event.user_id, raw, entry.at_ms)
        # What an alias moves arrives right behind it, wherever batches end.
        if len(self._waiting) >= BATCH_EVENTS or isinstance(entry.event, ev.Alias):
            self.flush()

    def flush(self) -> None:
        """Commit what was taken in."""
        began = time.perf_counter()
        while self._waiting:
            batch, self._waiting = {PARTITION: self._waiting}, []
            self._stale = True
            asyncio.run(self._run(batch))
        self.learn_seconds += time.perf_counter() - began

    def prepare(self) -> None:
        """Bring the counters up to all that was taken in, for what is asked next."""
        self.flush()
        if self._stale:
            asyncio.run(self._pipeline.refresh())
            self._stale = False

    def rank(self, cases: Sequence[Case], k: int) -> list[Answer]:
        """Answer cases as of now."""
        self.prepare()
        began = time.perf_counter()
        answers = asyncio.run(self._rank_all(cases, k))
        self.rank_seconds += time.perf_counter() - began
        return answers

    async def _open(self) -> None:
        await self._pipeline.start()
        await self._pipeline.assign([PARTITION])

    def _put(self, user_id: str, raw: bytes, at_ms: int) -> None:
        self._waiting.append(Record(PARTITION, self._offset, user_id.encode(), raw, at_ms))
        self._offset += 1

    async def _run(self, batch: Any) -> None:
        while batch:
            outcome = await self._pipeline.run(batch)
            for message in outcome.outbox.get(PARTITION, ()):
                if message.topic == EVENTS:  # a history that moves to a login, as the broker would bring it back
                    absorb = ev.decode_event(message.value)
                    self._put((message.key or b"").decode(), message.value, absorb.at_ms or MIN_AT_MS)
            batch = outcome.rest

    async def _rank_all(self, cases: Sequence[Case], k: int) -> list[Answer]:
        parts = range(0, len(cases), MAX_BATCH_SIZE)
        return [answer for start in parts for answer in await self._rank(cases[start : start + MAX_BATCH_SIZE], k)]

    async def _rank(self, cases: Sequence[Case], k: int) -> list[Answer]:
        recommender = self._pipeline.recommender
        packed = await self._store.load([(PARTITION, case.user_id) for case in cases])
        asks = [_ask(case, state, k) for case, state in zip(cases, packed, strict=True)]
        prepared = [recommender.prepare(ask) for ask in asks]
        ranked, because = await recommender.rank(prepared)
        if self._ranker and ranked is None and any(len(one.candidates.items) for one in prepared):
            raise RankerUnavailable(f"the ranker to be evaluated did not answer: {because}")
        answers = []
        for row, (case, one) in enumerate(zip(cases, prepared, strict=True)):
            p = ranked.p[row] if ranked else None
            slate = recommender.slate(one, p, ranked.model if ranked else None, because, case.at_ms)
            head = HEADS[_HEADS.get(case.kind, 0)]
            answers.append(
                Answer(
                    [item.item_id for item in slate.items],
                    [item.source for item in slate.items],
                    [item.p[head] for item in slate.items if item.p],
                    self._ceiling(one, case),
                    [sys.intern(item.reason) for item in slate.items],  # each text once, however many answers
                )
            )
        return answers

    def _ceiling(self, one: Prepared, case: Case) -> float:
        index, found = self._pipeline.catalogue.index, set(one.candidates.items.tolist())
        return sum(index.get(item, -1) in found for item in case.targets) / len(case.targets)


class _Timed:
    """A ranker that knows how long it took."""

    def __init__(self, ranker: Ranker) -> None:
        self._ranker = ranker
        self.seconds = 0.0

    async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
        began = time.perf_counter()
        ranked = await self._ranker.rank(inputs, timeout_s)
        self.seconds += time.perf_counter() - began
        return ranked


def _ask(case: Case, packed: bytes | None, k: int) -> Ask:
    """Return a request for the case, with the user's state as of now."""
    state = EMPTY if packed is None or case.fresh else current(unpack_state(packed), case.at_ms)
    state = _with_unlearned(state, case)
    request = ev.Request(
        user_id=case.user_id,
        request_id="case",
        at_ms=case.at_ms,
        kind="rerank" if case.given else "for_you",
        k=k,
        items=list(case.given) or None,
        filters=ev.Filters(exclude=list(case.masked)),
    )
    # Another slate for every case, so that each is explored by a draw of its own.
    return Ask(f"{case.user_id}-{case.at_ms}", request, "case", state, case.at_ms, case.at_ms)


def _with_unlearned(state: UserState, case: Case) -> UserState:
    made = _AS_SIGNAL.get(case.kind, ev.Click)
    for item in case.history[len(case.history) - case.unlearned :]:
        state = fold(state, made(user_id=case.user_id, item_id=item), case.at_ms)
    return state
