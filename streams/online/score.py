"""Scores candidates by a snapshot of the online model: the same numbers as River's, vectorised, with numpy alone.

`blended` moves what the ranker said: the log-odds of each of its heads by as much as the blend moves those of a click,
so a cart stays as likely after a click as the ranker has it. Without a ranker `alone` says how likely a click is.
Both are at the reference position. A snapshot and a request always give the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.online import blend, terms
from streams.online.snapshot import Linear, Residuals, Snapshot

Array = NDArray[np.float64]
Ids = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Where:
    """What the online model knows K candidates by: digests of `items` and `categories`, buckets of `sources`, all (K,).

    `moment` is of the request.
    """

    items: Ids
    categories: Ids
    sources: NDArray[np.int64]
    moment: terms.Row


def buckets(source_names: Sequence[str]) -> NDArray[np.int64]:
    """Return the bucket of each source."""
    return np.array([terms.bucket(name, terms.SOURCES) for name in source_names], np.int64)


class Scorer:
    """Scores the K candidates of a request."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.model, self.version = snapshot.model, snapshot.version
        self._calibrated, self._alone = _Model(snapshot.calibrated), _Model(snapshot.alone)
        self._items, self._categories = _Table.residuals(snapshot.items), _Table.residuals(snapshot.categories)
        self._seen = _Table(snapshot.items.ids, np.frombuffer(snapshot.seen, np.float32).astype(np.float64))
        self._shares = np.array(snapshot.shares)

    def blended(self, p: NDArray[np.float32], where: Where) -> Array:
        """Return the probabilities (K, H) of the ranker's `p` (K, H) and the online model together."""
        said = np.clip(p.astype(np.float64), terms.LEAST_P, 1.0 - terms.LEAST_P)
        logits = np.log(said) - np.log1p(-said)
        read = (logits - terms.CENTRE) / terms.SPREAD
        online = self._logits(self._calibrated, terms.LOGITS, read, where)
        both = blend.mixed(self._shares, logits[:, 0], online)
        moved = np.log(both) - np.log1p(-both) - logits[:, 0]
        return blend.sigmoid(logits + moved[:, None])

    def alone(self, features: NDArray[np.float32], where: Where) -> Array:
        """Return the probability of a click (K,) from the ranker's inputs `features` (K, F), without a ranker."""
        most = terms.MOST_FEATURE
        read = np.clip(features[:, terms.STAND_IN_COLUMNS].astype(np.float64), -most, most)
        return blend.sigmoid(self._logits(self._alone, terms.FEATURE, read, where))

    def seen(self, items: Ids) -> Array:
        """Return how often `items` (K,) were seen of late, as far as the learner knows."""
        return self._seen.of(items)

    def _logits(self, model: "_Model", first: int, read: Array, where: Where) -> Array:
        """Return the log-odds of a click (K,); `read` (K, N) are the columns from `first` on."""
        weights = model.weights
        same = model.intercept + weights[terms.POSITION + terms.REFERENCE]
        same += sum(weights[column] * value for column, value in where.moment.items())
        logits: Array = read @ weights[first : first + read.shape[1]] + weights[terms.SOURCE + where.sources] + same
        logits += weights[terms.ITEM] * self._items.of(where.items)
        logits += weights[terms.CATEGORY] * self._categories.of(where.categories)
        return logits


class _Model:
    def __init__(self, numbers: Linear) -> None:
        self.weights: Array = np.frombuffer(numbers.weights, np.float64)
        self.intercept = numbers.intercept


class _Table:
    """A number by id."""

    def __init__(self, ids: bytes, values: Array) -> None:
        self._ids: Ids = np.frombuffer(ids, np.uint64)
        self._values: Array = np.append(values, 0.0)

    @classmethod
    def residuals(cls, kept: Residuals) -> "_Table":
        return cls(kept.ids, np.frombuffer(kept.values, np.float64))

    def of(self, ids: Ids) -> Array:
        """Return the numbers of `ids` (K,), 0 for those that aren't there."""
        places = np.searchsorted(self._ids, ids)
        found = places < len(self._ids)
        found[found] = self._ids[places[found]] == ids[found]
        values: Array = self._values[np.where(found, places, -1)]
        return values
