"""From a user's state and its candidates to the ranker's tensors: the one encoding, served and trained on alike.

Everything is as of the request's time and the counters' snapshot. Row order of the features is `FEATURES` of the
tensor contract; all are finite, and most lie between 0 and 5.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.tensors import FEATURES, HASH_BUCKETS, HISTORY
from streams.features import touch as t
from streams.features.item import LEVELS, NO_CODE, Catalogue
from streams.features.user import UserState

Array = NDArray[np.float64]
_ROW = {name: row for row, name in enumerate(FEATURES)}
_DAY_MIN = 1440.0
_NEW_MS = 30 * 86_400_000
_MAX_DUE = 4.0
_FAR_DAYS = 400.0
SEEDS = 10
"""Latest items of a user from which co-visitation starts."""


@dataclass(frozen=True, slots=True)
class History:
    """A user's items by catalogue index, the latest first: `items` (N,), and what is remembered of each."""

    items: NDArray[np.int64]
    touches: t.Touches

    @classmethod
    def of(cls, state: UserState, catalogue: Catalogue) -> "History":
        """Join a state with the catalogue."""
        words = np.fromiter(state.items.values(), np.uint64, len(state.items))[::-1]
        return cls(catalogue.indices_of(state.items)[::-1], t.unpack_all(words))


@dataclass(frozen=True, slots=True)
class Candidates:
    """What retrieval found, best first, shapes (K,) and (S, K) for S seeds.

    `items` are catalogue indices, `sources` indices into the names of the sources, `because` the item that explains
    it (-1: none), `fused` the blended score, `pairs` the normalised co-visitation of each seed with each candidate,
    `trend` and `popular` decayed counts.
    """

    items: NDArray[np.int64]
    sources: NDArray[np.int64]
    because: NDArray[np.int64]
    fused: Array
    pairs: NDArray[np.float64]
    trend: Array
    popular: Array


def hashed(digest: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Return the id buckets of items, from 1 up; 0 is padding."""
    return (digest % np.uint64(HASH_BUCKETS - 1) + np.uint64(1)).astype(np.int32)


def history_ids(history: History, catalogue: Catalogue) -> NDArray[np.int32]:
    """Return the buckets of the latest items, shape (HISTORY,), padded with 0."""
    ids = np.zeros(HISTORY, np.int32)
    latest = history.items[:HISTORY]
    ids[: len(latest)] = hashed(catalogue.digest[latest])
    return ids


def features(
    state: UserState,
    history: History,
    candidates: Candidates,
    catalogue: Catalogue,
    *,
    kind: str,
    at_ms: int,
    slots: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Return the features of each candidate, shape (K, F).

    `slots` is scratch, shape (>= len(catalogue),), all -1, and is left so.
    """
    encoded = np.zeros((len(FEATURES), len(candidates.items)), np.float32)
    _own(encoded, state, history, candidates, t.minutes(at_ms), slots)
    whole = {
        "user_baskets": np.log1p(state.baskets),
        "user_items": np.log1p(len(state.items)),
        "user_away": _away(history, at_ms),
        "kind_similar": float(kind == "similar"),
        "kind_bundle": float(kind == "bundle"),
        "kind_search": float(kind == "search"),
    }
    for name, column in (_covisitation(candidates) | _content(history, candidates, catalogue, at_ms) | whole).items():
        encoded[_ROW[name]] = column
    return np.ascontiguousarray(encoded.T)


def _own(
    encoded: NDArray[np.float32],
    state: UserState,
    history: History,
    candidates: Candidates,
    now_min: int,
    slots: NDArray[np.int32],
) -> None:
    """Write what the user did with each candidate before into the rows of `encoded` (F, K), all 0."""
    slots[history.items] = np.arange(len(history.items), dtype=np.int32)
    places = slots[candidates.items]
    slots[history.items] = -1
    owned = np.flatnonzero(places >= 0)
    if not len(owned):
        return
    place = places[owned]
    touches = history.touches.at(place)
    days = np.maximum(0.0, now_min - touches.last_min) / _DAY_MIN
    gap = touches.span_days / np.maximum(1, touches.bought - 1)
    repeated = touches.bought > 1
    columns = {
        "own": 1.0,
        "own_bought": np.log1p(touches.bought),
        "own_rate": np.log1p(touches.rate * 0.5 ** (days * _DAY_MIN / t.RATE_HALF_LIFE_MIN)),
        "own_days": np.log1p(np.minimum(days, _FAR_DAYS)),
        "own_place": 1.0 / (1.0 + place),
        "own_share": touches.bought / max(1, state.baskets),
        "own_due": np.where(repeated, np.minimum(days / np.maximum(gap, 0.5), _MAX_DUE), 0.0),
        "own_gap": np.where(repeated, np.log1p(gap), 0.0),
        "own_touches": np.log1p(touches.touches),
        "own_clicked": (touches.signal == t.CLICK) | (touches.signal == t.VIEW),
        "own_carted": touches.signal == t.CART,
        "own_liked": touches.signal == t.LIKED,
        "own_uncarted": touches.signal == t.UNCART,
    }
    for name, column in columns.items():
        encoded[_ROW[name], owned] = column


def _away(history: History, at_ms: int) -> float:
    """Say how long ago the user's latest item was; not the latest event, which is the request itself."""
    if not len(history.items):
        return 0.0
    days = max(0, t.minutes(at_ms) - int(history.touches.last_min.max())) / _DAY_MIN
    return float(np.log1p(min(days, _FAR_DAYS)))


def _covisitation(candidates: Candidates) -> dict[str, Array]:
    """Say how each candidate goes with the latest items, and how popular it is."""
    pairs = np.zeros((SEEDS, len(candidates.items)))
    pairs[: len(candidates.pairs)] = candidates.pairs
    scaled = np.log1p(pairs)
    popular, trend = np.log1p(candidates.popular), np.log1p(candidates.trend)
    return {
        "pair_total": np.log1p(pairs.sum(axis=0)),
        "pair_last": scaled[0],
        "pair_second": scaled[1],
        "pair_third": scaled[2],
        "pair_best": scaled.max(axis=0),
        "pair_hits": (pairs > 0).mean(axis=0),
        "popular": popular,
        "trend": trend,
        "rising": trend - popular,
        "fused": np.log1p(100.0 * candidates.fused),
    }


def _content(history: History, candidates: Candidates, catalogue: Catalogue, at_ms: int) -> dict[str, Array]:
    """Say how each candidate fits what the user's items are: category, brand, price."""
    items = candidates.items
    weights = 0.2 + history.touches.rate
    prices = catalogue.log_price[items].astype(np.float64)
    own_prices = catalogue.log_price[history.items]
    known = own_prices[np.isfinite(own_prices)]
    mean_price = float(known.mean()) if len(known) else np.nan
    columns = {
        f"category_{level}": _share(catalogue.category[history.items, level], weights, catalogue.category[items, level])
        for level in range(LEVELS)
    }
    age = at_ms - catalogue.created_ms[items]
    return columns | {
        "brand": _share(catalogue.brand[history.items], weights, catalogue.brand[items]),
        "price": _known(prices),
        "price_gap": _known(prices - mean_price),
        "new": ((catalogue.created_ms[items] > 0) & (age < _NEW_MS)).astype(float),
    }


def _known(prices: Array) -> Array:
    """Return 0 where a price is unknown; `np.nan_to_num` looks for infinities, too, and takes three times as long."""
    return np.where(np.isnan(prices), 0.0, prices)


def _share(own: NDArray[np.int32], weights: Array, wanted: NDArray[np.int32]) -> Array:
    """Return which share of the user's weight lies on the code of each candidate."""
    if not len(own):
        return np.zeros(len(wanted))
    size = int(max(own.max(), wanted.max(initial=0))) + 1
    mass = np.bincount(own, weights, size)
    mass[NO_CODE] = 0.0
    share: Array = mass[wanted] / weights.sum()
    return share
