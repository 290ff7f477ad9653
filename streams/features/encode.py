"""From a user's state and its candidates to the ranker's tensors: the one encoding, served and trained on alike.

Everything is as of the request's time and the counters' snapshot. Row order of the features is `FEATURES` of the
tensor contract; all are finite, and most lie between 0 and 5.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.tensors import CODE_LEVELS, FEATURES, HISTORY, SEEDS
from streams.compiled import compiled
from streams.features import touch as t
from streams.features.item import LEVELS, NO_CODE, Catalogue
from streams.features.user import UserState

Array = NDArray[np.float64]
(
    _OWN, _OWN_BOUGHT, _OWN_RATE, _OWN_DAYS, _OWN_PLACE, _OWN_SHARE, _OWN_DUE, _OWN_GAP, _OWN_TOUCHES, _OWN_CLICKED,
    _OWN_CARTED, _OWN_LIKED, _OWN_UNCARTED,
) = (FEATURES.index(name) for name in FEATURES if name.startswith("own"))  # fmt: skip
_PAIRS, _DEMAND = FEATURES.index("pair_total"), FEATURES.index("popular")
_CATEGORY, _BRAND = FEATURES.index("category_0"), FEATURES.index("brand")
_PRICE, _USER = FEATURES.index("price"), FEATURES.index("user_baskets")
_SEPARATE = 3
"""Seeds that have a column of their own."""
_DAY_MIN = 1440.0
_NEW_MS = 30 * 86_400_000
_MAX_DUE = 4.0
_FAR_DAYS = 400.0


@dataclass(frozen=True, slots=True)
class History:
    """A user's items by catalogue index, the latest first: `items` (N,), and what is remembered of each."""

    items: NDArray[np.int64]
    touches: t.Touches

    @classmethod
    def of(cls, state: UserState, catalogue: Catalogue) -> "History":
        """Join a state with the catalogue."""
        # The latest first, and contiguous: for another layout all that reads them would be compiled once more.
        words = np.fromiter(reversed(state.items.values()), np.uint64, len(state.items))
        return cls(catalogue.indices_of(reversed(state.items)), t.unpack_all(words))


@dataclass(frozen=True, slots=True)
class Candidates:
    """What retrieval found, best first, K candidates from S seeds.

    `items` (K,) are catalogue indices, `sources` (K,) indices into the names of the sources, `because` (K,) the item
    that explains it (-1: none), `fused` (K,) the blended score. `pairs` (K, SEEDS) is the normalised co-visitation with
    each seed, `counts` (K, 2 * SEEDS) its bare counts in thousandths as the tensor contract has them; `seeds` (S,) says
    how popular the seeds are, in signals. `log_trend` and `log_popular` (K,) are of the candidates' decayed counts.
    """

    items: NDArray[np.int64]
    sources: NDArray[np.int64]
    because: NDArray[np.int64]
    fused: Array
    pairs: Array
    counts: NDArray[np.float32]
    seeds: Array
    log_trend: Array
    log_popular: Array


def history_ids(history: History, catalogue: Catalogue) -> NDArray[np.int32]:
    """Return the hashed ids of the latest items, shape (HISTORY,), padded with 0."""
    ids = np.zeros(HISTORY, np.int32)
    latest = history.items[:HISTORY]
    ids[: len(latest)] = catalogue.hashed[latest]
    return ids


def history_codes(history: History, catalogue: Catalogue) -> NDArray[np.int32]:
    """Return the semantic codes of the latest items, shape (HISTORY, C), padded with 0."""
    codes = np.zeros((HISTORY, CODE_LEVELS), np.int32)
    latest = history.items[:HISTORY]
    codes[: len(latest)] = catalogue.semantic.take(latest, 0)
    return codes


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
    found = candidates
    encoded = np.zeros((len(found.items), len(FEATURES)), np.float32)
    _own(encoded, found.items, history.items, *history.touches, state.baskets, t.minutes(at_ms), slots)
    _goes_with(encoded, found.pairs, found.log_popular, found.log_trend, found.fused)
    _alike(
        encoded, found.items, history.items, history.touches.rate, catalogue.category, catalogue.brand,
        catalogue.log_price, catalogue.created_ms, at_ms,
    )  # fmt: skip
    encoded[:, _USER:] = (
        math.log1p(state.baskets),
        math.log1p(len(state.items)),
        _away(history, at_ms),
        kind == "similar",
        kind == "bundle",
        kind == "search",
    )
    return encoded


def _away(history: History, at_ms: int) -> float:
    """Say how long ago the user's latest item was; not the latest event, which is the request itself."""
    if not len(history.items):
        return 0.0
    days = max(0, t.minutes(at_ms) - int(history.touches.last_min.max())) / _DAY_MIN
    return math.log1p(min(days, _FAR_DAYS))


@compiled
def _own(
    encoded: NDArray[np.float32],
    items: NDArray[np.int64],
    own: NDArray[np.int64],
    last_min: NDArray[np.int64],
    signal: NDArray[np.int64],
    touches: NDArray[np.int64],
    bought: NDArray[np.int64],
    rate: Array,
    span_days: NDArray[np.int64],
    baskets: int,
    now_min: int,
    slots: NDArray[np.int32],
) -> None:
    """Write what the user did with each candidate (K,) before; `own` (N,) and the columns of its touches (N,)."""
    for n in range(len(own)):
        slots[own[n]] = n
    for k in range(len(items)):
        n = slots[items[k]]
        if n < 0:
            continue
        age_min = max(0, now_min - last_min[n])
        days = age_min / _DAY_MIN
        encoded[k, _OWN] = 1.0
        encoded[k, _OWN_BOUGHT] = math.log1p(bought[n])
        encoded[k, _OWN_RATE] = math.log1p(rate[n] * 0.5 ** (age_min / t.RATE_HALF_LIFE_MIN))
        encoded[k, _OWN_DAYS] = math.log1p(min(days, _FAR_DAYS))
        encoded[k, _OWN_PLACE] = 1.0 / (1.0 + n)
        encoded[k, _OWN_SHARE] = bought[n] / max(1, baskets)
        if bought[n] > 1:
            gap = span_days[n] / (bought[n] - 1)
            encoded[k, _OWN_DUE] = min(days / max(gap, 0.5), _MAX_DUE)
            encoded[k, _OWN_GAP] = math.log1p(gap)
        encoded[k, _OWN_TOUCHES] = math.log1p(touches[n])
        encoded[k, _OWN_CLICKED] = signal[n] == t.CLICK or signal[n] == t.VIEW
        encoded[k, _OWN_CARTED] = signal[n] == t.CART
        encoded[k, _OWN_LIKED] = signal[n] == t.LIKED
        encoded[k, _OWN_UNCARTED] = signal[n] == t.UNCART
    for n in range(len(own)):
        slots[own[n]] = -1


@compiled
def _goes_with(encoded: NDArray[np.float32], pairs: Array, log_popular: Array, log_trend: Array, fused: Array) -> None:
    """Write how each candidate (K,) goes with the latest items, `pairs` (K, SEEDS), and how popular it is."""
    for k in range(len(fused)):
        total, best, hits = 0.0, 0.0, 0
        for seed in range(SEEDS):
            says = pairs[k, seed]
            if says > 0.0:
                total, best, hits = total + says, max(best, says), hits + 1
                if seed < _SEPARATE:
                    encoded[k, _PAIRS + 1 + seed] = math.log1p(says)
        if hits:
            encoded[k, _PAIRS] = log_total = math.log1p(total)
            encoded[k, _PAIRS + 4] = math.log1p(best) if hits > 1 else log_total
            encoded[k, _PAIRS + 5] = hits / SEEDS
        encoded[k, _DEMAND] = log_popular[k]
        encoded[k, _DEMAND + 1] = log_trend[k]
        encoded[k, _DEMAND + 2] = log_trend[k] - log_popular[k]
        encoded[k, _DEMAND + 3] = math.log1p(100.0 * fused[k])


@compiled
def _alike(
    encoded: NDArray[np.float32],
    items: NDArray[np.int64],
    own: NDArray[np.int64],
    rate: Array,
    category: NDArray[np.int32],
    brand: NDArray[np.int32],
    log_price: NDArray[np.float32],
    created_ms: NDArray[np.int64],
    at_ms: int,
) -> None:
    """Write how each candidate (K,) is like what the user had, `own` (N,) at `rate` (N,): kind, brand, price, age."""
    weights = 0.2 + rate
    for level in range(LEVELS):
        _share(encoded, _CATEGORY + level, category[:, level], items, own, weights)
    _share(encoded, _BRAND, brand, items, own, weights)
    _price_and_age(encoded, items, own, log_price, created_ms, at_ms)


@compiled
def _share(
    encoded: NDArray[np.float32],
    column: int,
    codes: NDArray[np.int32],
    items: NDArray[np.int64],
    own: NDArray[np.int64],
    weights: Array,
) -> None:
    """Write which share of the user's weight (N,) lies on the code of each candidate; NO_CODE is nobody's."""
    highest = NO_CODE
    for item in own:
        highest = max(highest, codes[item])
    mass, total = np.zeros(highest + 1), 0.0
    for n in range(len(own)):
        mass[codes[own[n]]] += weights[n]
        total += weights[n]
    for k in range(len(items)):
        code = codes[items[k]]
        if NO_CODE < code <= highest:
            encoded[k, column] = mass[code] / total


@compiled
def _price_and_age(
    encoded: NDArray[np.float32],
    items: NDArray[np.int64],
    own: NDArray[np.int64],
    log_price: NDArray[np.float32],
    created_ms: NDArray[np.int64],
    at_ms: int,
) -> None:
    """Write the price of each candidate, beside the user's usual one, and whether it is new; 0 where unknown."""
    total, known = 0.0, 0
    for item in own:
        if math.isfinite(log_price[item]):
            total, known = total + log_price[item], known + 1
    for k in range(len(items)):
        price, created = float(log_price[items[k]]), created_ms[items[k]]
        if not math.isnan(price):
            encoded[k, _PRICE] = price
            if known:
                encoded[k, _PRICE + 1] = price - total / known
        encoded[k, _PRICE + 2] = created > 0 and at_ms - created < _NEW_MS
