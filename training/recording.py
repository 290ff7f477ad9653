"""Listens in on a pipeline: keeps what retrieval found and the encoder said at each request, exactly as served.

Nothing is computed anew. `Recorder` takes the recommender's place and notes what `tensors` would send to the ranker.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.pipeline import Pipeline
from streams.recommend import Prepared, Recommender, Scored
from streams.retrieval.blend import Retriever, named_sources
from training.lists import Lists
from training.splits import Wanted

KEPT_EMPTY = 0.25
"""Share of the lists to learn from that are kept though they hold no target; these then weigh as much as all did."""


class Recorder(Recommender):
    """A recommender without a ranker that keeps the list of each wanted request."""

    def __init__(self, pipeline: Pipeline, wanted: Mapping[str, Wanted], seed: int) -> None:
        """`wanted` is by request id."""
        settings = pipeline.settings
        retriever = Retriever(settings.candidates, named_sources(settings.sources))
        super().__init__(pipeline.catalogue, pipeline.counters, retriever, None, 0.0)
        self._wanted = wanted
        self._seed = seed
        self._rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)

    async def score(self, prepared: Sequence[Prepared]) -> list[Scored]:
        """Keep what the ranker would be sent; the blend answers."""
        for one in prepared:
            self._keep(one)
        return [(None, None, "recording")] * len(prepared)

    def waiting(self) -> list[str]:
        """Return the shards that have lists, in the order of their first one."""
        return list(self._rows)

    def take(self, shard: str) -> Lists:
        """Return the lists of a shard, and forget them."""
        features, pairs, item_ids, codes, depth, weight, seeds, history, past, users, targets, at_ms = zip(
            *self._rows.pop(shard), strict=True
        )
        return Lists(
            features=np.concatenate(features),
            pairs=np.concatenate(pairs),
            item_ids=np.concatenate(item_ids),
            item_codes=np.concatenate(codes),
            depth=np.concatenate(depth),
            weight=np.concatenate(weight),
            offsets=np.cumsum([0, *map(len, item_ids)]),
            seeds=np.concatenate(seeds),
            history_ids=np.concatenate(history),
            history_codes=np.concatenate(past),
            users=np.array(users, np.int32),
            targets=np.array(targets, np.int32),
            at_ms=np.array(at_ms, np.int64),
        )

    def _keep(self, one: Prepared) -> None:
        wanted = self._wanted[one.ask.request_id or ""]
        came = wanted.step.items
        ids = self.catalogue.ids
        depth = np.array([came.get(ids[item], 0) for item in one.candidates.items.tolist()], np.uint8)
        # By step, so that it doesn't matter which others are recorded in this process.
        generator = np.random.default_rng((self._seed, wanted.step.number))
        empty_weight = 1.0
        if wanted.negatives and not depth.any():
            if generator.random() >= KEPT_EMPTY:
                return
            empty_weight = 1.0 / KEPT_EMPTY
        inputs = self.tensors([one])
        places, weight = _sampled(depth, wanted.negatives, generator)
        self._rows[wanted.shard].append(
            (
                inputs.features[0, places],
                inputs.pairs[0, places],
                inputs.item_ids[0, places],
                inputs.item_codes[0, places],
                depth[places],
                weight * np.float32(empty_weight),
                inputs.seeds,
                inputs.history_ids,
                inputs.history_codes,
                wanted.user,
                len(came),
                wanted.step.at_ms,
            )
        )


def _sampled(
    depth: NDArray[np.uint8], negatives: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the places to keep, ascending, and how many candidates each of them stands for."""
    none = np.flatnonzero(depth == 0)
    if not negatives or len(none) <= negatives:
        return np.arange(len(depth)), np.ones(len(depth), np.float32)
    kept = generator.choice(none, negatives, replace=False)
    places = np.sort(np.concatenate((np.flatnonzero(depth), kept)))
    weight = np.where(depth[places] > 0, 1.0, len(none) / negatives)
    return places, weight.astype(np.float32)
