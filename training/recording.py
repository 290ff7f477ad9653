"""Listens in on a pipeline: keeps what retrieval found and the encoder said at each request, exactly as served.

Nothing is computed anew. `Recorder` takes the recommender's place and notes what `prepare` made and what `tensors`
would send to the ranker; `Taped` sources note their own best items in passing.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.ranker import Ranked
from streams.pipeline import Pipeline
from streams.recommend import Ask, Prepared, Recommender
from streams.retrieval.base import Asked, CandidateSource, Found
from streams.retrieval.blend import Retriever, default_sources
from training.lists import TOP, Lists
from training.splits import Wanted
from training.visits import BOUGHT

FREQUENT = "personal_frequency"
"""The reference list: what the user bought in most baskets, ties by the latest purchase, then by id."""


class Taped:
    """A source that remembers the head of the list it gave last."""

    def __init__(self, source: CandidateSource) -> None:
        self.name, self.kinds, self.weight = source.name, source.kinds, source.weight
        self._source = source
        self.last = np.empty(0, np.int64)

    def find(self, asked: Asked) -> Found:
        """Return what the source finds."""
        found = self._source.find(asked)
        self.last = found.items[:TOP]
        return found


class Recorder(Recommender):
    """A recommender without a ranker that keeps the list of each wanted request."""

    def __init__(self, pipeline: Pipeline, wanted: Mapping[str, Wanted], limit: int, seed: int) -> None:
        """`wanted` is by request id; `limit` is how many candidates are retrieved."""
        self._taped = [Taped(source) for source in default_sources() if "for_you" in source.kinds]
        super().__init__(pipeline.catalogue, pipeline.counters, Retriever(limit, self._taped), None, 0.0)
        self.list_names = (*(source.name for source in self._taped), FREQUENT)
        self._wanted = wanted
        self._generator = np.random.default_rng(seed)
        self._tops: dict[str, NDArray[np.int32]] = {}
        self._rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)

    def prepare(self, ask: Ask) -> Prepared:
        """Prepare an ask, and note the head of each source's list."""
        for source in self._taped:
            source.last = source.last[:0]
        ready = super().prepare(ask)
        tops = np.full((len(self.list_names), TOP), -1, np.int32)
        for row, items in zip(tops, [*(source.last for source in self._taped), _frequent(ready)], strict=True):
            row[: len(items)] = items
        self._tops[ask.slate_id] = tops
        return ready

    async def rank(self, prepared: Sequence[Prepared]) -> tuple[Ranked | None, str | None]:
        """Keep what the ranker would be sent; the blend answers."""
        for one in prepared:
            self._keep(one, self._tops.pop(one.ask.slate_id))
        return None, "recording"

    def waiting(self) -> dict[str, int]:
        """Return how many lists of each split `take` would give."""
        return {split: len(rows) for split, rows in self._rows.items()}

    def take(self, split: str) -> Lists:
        """Return the lists of a split kept since the last time, at least one."""
        rows = self._rows.pop(split)
        features, item_ids, items, depth, weight, history, users, times, targets, tops = zip(*rows, strict=True)
        return Lists(
            features=np.concatenate(features),
            item_ids=np.concatenate(item_ids),
            items=np.concatenate(items),
            depth=np.concatenate(depth),
            weight=np.concatenate(weight),
            offsets=np.cumsum([0, *map(len, items)]),
            history_ids=np.concatenate(history),
            users=np.array(users, np.int32),
            times=np.array(times, np.int64),
            targets=np.concatenate(targets),
            target_offsets=np.cumsum([0, *map(len, targets)]),
            tops=np.stack(tops),
        )

    def _keep(self, one: Prepared, tops: NDArray[np.int32]) -> None:
        wanted = self._wanted[one.ask.request_id or ""]
        visit = wanted.visit
        inputs = self.tensors([one])
        items = one.candidates.items
        ids = self.catalogue.ids
        depth = np.array([visit.items.get(ids[item], 0) for item in items.tolist()], np.uint8)
        places, weight = self._sampled(depth, wanted.negatives)
        bought = [item for item, deepest in visit.items.items() if deepest == BOUGHT]
        self._rows[wanted.split].append(
            (
                inputs.features[0, places],
                inputs.item_ids[0, places],
                items[places].astype(np.int32),
                depth[places],
                weight,
                inputs.history_ids,
                wanted.user,
                visit.at_ms,
                self.catalogue.indices_of(bought).astype(np.int32),
                tops,
            )
        )

    def _sampled(self, depth: NDArray[np.uint8], negatives: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the places to keep, ascending, and how many candidates each of them stands for."""
        none = np.flatnonzero(depth == 0)
        if not negatives or len(none) <= negatives:
            return np.arange(len(depth)), np.ones(len(depth), np.float32)
        kept = self._generator.choice(none, negatives, replace=False)
        places = np.sort(np.concatenate((np.flatnonzero(depth), kept)))
        weight = np.where(depth[places] > 0, 1.0, len(none) / negatives)
        return places, weight.astype(np.float32)


def _frequent(ready: Prepared) -> NDArray[np.int64]:
    """Return the items that the user bought in most baskets."""
    items, touches = ready.history.items, ready.history.touches
    order = np.lexsort((items, -touches.last_min, -touches.bought))
    return items[order[touches.bought[order] > 0]][:TOP]
