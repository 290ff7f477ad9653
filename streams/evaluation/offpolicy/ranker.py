"""The policy of a ranker: each slate of the log in the order of its scores of the features as served, explored as live.

A record holds the features of what was shown and not of the other candidates, so only a slate that shows all of them
can be ranked again: the propensity of its last item is 1, as nothing else was left, and that of no other is.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from inference.onnx_ranker import OnnxRanker
from inference.ranker import RankerInputs
from inference.tensors import CODE_LEVELS, FEATURES, HISTORY, MAX_BATCH_SIZE, SEEDS
from streams.contracts.slates import Feedback, Shown
from streams.errors import Misuse
from streams.evaluation.offpolicy.log import Log, Values
from streams.features.item import digest_of, hashed_id
from streams.recommend import LANES
from streams.slate.explore import Exploration, alternatives
from streams.slate.select import worth

_POPULAR = FEATURES.index("popular")
_SURE = 1 - 1e-9


class Ranker(Struct, frozen=True):
    """A version of a model folder, and the settings of exploration by their names in `streams/settings.py`."""

    model: str
    version: Annotated[int, Meta(ge=1)] = 1
    explore_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    explore_temperature: Annotated[float, Meta(ge=0.05, le=100)] = 0.2
    explore_bonus: Annotated[float, Meta(ge=0, le=100)] = 1.0

    def rank(self, log: Log) -> list[Values]:
        """Return of each slate, with k items, how likely each would be at each position below those above it: (k, k).

        Raises:
            Misuse: a slate can't be ranked again.
            BadModel: the model can't be read.
        """
        ranker = OnnxRanker(Path(self.model), self.version)
        exploration = Exploration(self.explore_share, self.explore_temperature, self.explore_bonus)
        found: list[Values] = []
        records = log.records()
        while some := list(islice(records, MAX_BATCH_SIZE)):
            slates = [_from_the_top(record, log.path) for record in some]
            for shown, p in zip(slates, ranker.score(_inputs(some, slates)), strict=True):
                evidence = np.expm1([one.features[_POPULAR] for one in shown])
                digests = np.array([digest_of(one.item_id) for one in shown], np.uint64)
                found.append(alternatives(worth(p[: len(shown)]), evidence, digests, exploration))
        return found


def _from_the_top(record: Feedback, path: Path) -> list[Shown]:
    """Return what was shown, in order.

    Raises:
        Misuse: it can't be ranked again.
    """
    shown = sorted(record.items, key=lambda one: one.position)
    for name, size, wanted in _sizes(record, shown):
        if size != wanted:
            raise Misuse(
                f"{path}: slate {record.slate_id}: {name} has {size} numbers, not {wanted}: a ranker needs the features"
                " as served, of this tensor contract"
            )
    if shown[-1].propensity < _SURE or any(one.propensity > _SURE for one in shown[:-1]):
        raise Misuse(
            f"{path}: slate {record.slate_id}: a ranker can only be evaluated on explored slates that show all of their"
            " candidates (kind rerank, k as many as items): the propensity of the last item is 1 and of no other"
        )
    return shown


def _sizes(record: Feedback, shown: Sequence[Shown]) -> Iterator[tuple[str, int, int]]:
    yield "seeds", len(record.seeds), SEEDS
    yield "history_ids", len(record.history_ids), HISTORY
    yield "history_codes", len(record.history_codes), HISTORY
    for one in shown:
        yield "features", len(one.features), len(FEATURES)
        yield "pairs", len(one.pairs), 2 * SEEDS
        yield "item_code", len(one.item_code), CODE_LEVELS


def _inputs(records: Sequence[Feedback], slates: Sequence[Sequence[Shown]]) -> RankerInputs:
    """Return the ranker's inputs as they were when the slates were made."""
    longest = max(map(len, slates))
    inputs = RankerInputs.zeros(len(records), longest + -longest % LANES)
    for row, (record, shown) in enumerate(zip(records, slates, strict=True)):
        size = len(shown)
        inputs.features[row, :size] = [one.features for one in shown]
        inputs.pairs[row, :size] = [one.pairs for one in shown]
        inputs.item_ids[row, :size] = [hashed_id(digest_of(one.item_id)) for one in shown]
        inputs.item_codes[row, :size] = [one.item_code for one in shown]
        inputs.seeds[row] = record.seeds
        inputs.history_ids[row] = record.history_ids
        inputs.history_codes[row] = record.history_codes
    return inputs
