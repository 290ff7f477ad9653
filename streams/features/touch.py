"""What a user's state remembers of one item, in one 64-bit word: small enough to keep hundreds of items a user.

Bits, lowest first:

    last 25     minutes since 1995-01-01 of the last purchase if there was one, else of the last touch
    signal 3    the last signal, one of the codes below
    touches 4   signals other than purchases, saturating
    bought 8    baskets that held the item, saturating
    rate 12     baskets decayed with a half-life of RATE_HALF_LIFE_MIN as of `last`, in sixteenths, saturating
    span 12     days between the first and the last purchase, saturating

A single purchase leaves `bought`, `rate` and `span` at zero, which keeps the most frequent word under 32 bits.
"""

from math import exp2
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.compiled import compiled
from streams.contracts.wire import MIN_AT_MS

Whole = NDArray[np.int64]

UNCART, VIEW, CLICK, CART, PURCHASE, LIKED, DISLIKED, REVIEW = range(8)
"""Codes of the last signal; a rating is LIKED from 4 up, DISLIKED up to 2, REVIEW between."""

RATE_HALF_LIFE_MIN = 60 * 24 * 60
"""60 days: with which past purchases of an item lose weight. Changing it needs a new fold version."""
_RATE_UNIT = 16
_LAST, _SIGNAL, _TOUCHES, _BOUGHT, _RATE, _SPAN = 0, 25, 28, 32, 40, 52
_MAX_LAST, _MAX_TOUCHES, _MAX_BOUGHT, _MAX_RATE, _MAX_SPAN = 2**25 - 1, 15, 255, 4095, 4095
_MINUTES_A_DAY = 1440
_ONCE = 1 | _RATE_UNIT << _RATE - _BOUGHT
"""The bits from `bought` up of an item that was bought once."""


class Touch(NamedTuple):
    """One word, unpacked; `rate` is in baskets."""

    last_min: int
    signal: int
    touches: int
    bought: int
    rate: float
    span_days: int


class Touches(NamedTuple):
    """Many words, unpacked: arrays of shape (N,), as in `Touch`."""

    last_min: Whole
    signal: Whole
    touches: Whole
    bought: Whole
    rate: NDArray[np.float64]
    span_days: Whole


def last_minute(word: int) -> int:
    """Return `last_min` of a word."""
    return word & _MAX_LAST


def minutes(at_ms: int) -> int:
    """Return event time in the unit of `last_min`."""
    return min(max(0, (at_ms - MIN_AT_MS) // 60_000), _MAX_LAST)


def pack(touch: Touch) -> int:
    """Pack into a word; what is too large saturates."""
    word = touch.last_min << _LAST | touch.signal << _SIGNAL | min(touch.touches, _MAX_TOUCHES) << _TOUCHES
    rate = min(round(touch.rate * _RATE_UNIT), _MAX_RATE)
    if touch.signal == PURCHASE and touch.bought == 1 and rate == _RATE_UNIT and touch.span_days == 0:
        return word
    return word | min(touch.bought, _MAX_BOUGHT) << _BOUGHT | rate << _RATE | min(touch.span_days, _MAX_SPAN) << _SPAN


def unpack(word: int) -> Touch:
    """Undo `pack`."""
    last, signal = word & _MAX_LAST, word >> _SIGNAL & 7
    touches, bought = word >> _TOUCHES & _MAX_TOUCHES, word >> _BOUGHT & _MAX_BOUGHT
    if signal == PURCHASE and bought == 0:
        return Touch(last, signal, touches, 1, 1.0, 0)
    return Touch(last, signal, touches, bought, (word >> _RATE & _MAX_RATE) / _RATE_UNIT, word >> _SPAN)


def unpack_all(words: NDArray[np.uint64]) -> Touches:
    """Undo `pack` for an array of words, shape (N,)."""
    return Touches(*_unpack_all(words))


@compiled
def _unpack_all(words: NDArray[np.uint64]) -> tuple[Whole, Whole, Whole, Whole, NDArray[np.float64], Whole]:
    size = len(words)
    last_min, signal, touches = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    bought, rate, span_days = np.empty(size, np.int64), np.empty(size, np.float64), np.empty(size, np.int64)
    for n in range(size):
        word = words[n]
        last_min[n] = word & np.uint64(_MAX_LAST)
        signal[n] = word >> np.uint64(_SIGNAL) & np.uint64(7)
        touches[n] = word >> np.uint64(_TOUCHES) & np.uint64(_MAX_TOUCHES)
        bought[n] = word >> np.uint64(_BOUGHT) & np.uint64(_MAX_BOUGHT)
        rate[n] = (word >> np.uint64(_RATE) & np.uint64(_MAX_RATE)) / _RATE_UNIT
        span_days[n] = word >> np.uint64(_SPAN)
        if signal[n] == PURCHASE and bought[n] == 0:
            bought[n], rate[n] = 1, 1.0
    return last_min, signal, touches, bought, rate, span_days


def basket_at(word: int, at_min: int) -> bool:
    """Tell whether the last of the item's baskets was in that minute."""
    bought = word >> _SIGNAL & 7 == PURCHASE or word >> _BOUGHT & _MAX_BOUGHT
    return bool(bought) and word & _MAX_LAST == at_min


def touched(word: int | None, signal: int, at_min: int) -> int:
    """Return the word after a signal that is not a purchase (`word` None: the first).

    On integers, as `purchased`: the two are the hottest lines of the fold.
    """
    if word is None:
        return at_min << _LAST | signal << _SIGNAL | 1 << _TOUCHES
    last, bought = word & _MAX_LAST, word >> _BOUGHT
    if not bought & _MAX_BOUGHT:
        if word >> _SIGNAL & 7 == PURCHASE:
            bought = _ONCE
        elif at_min > last:
            last = at_min
    touches = min((word >> _TOUCHES & _MAX_TOUCHES) + 1, _MAX_TOUCHES)
    return last << _LAST | signal << _SIGNAL | touches << _TOUCHES | bought << _BOUGHT


def purchased(word: int | None, at_min: int) -> int:
    """Return the word after a basket with the item; a late one counts, decayed, at its own time.

    The same as `merged` with a single purchase, on integers.
    """
    if word is None:
        return at_min << _LAST | PURCHASE << _SIGNAL
    last, touches = word & _MAX_LAST, word & _MAX_TOUCHES << _TOUCHES
    bought, rate, span = word >> _BOUGHT & _MAX_BOUGHT, word >> _RATE & _MAX_RATE, word >> _SPAN
    if not bought:
        if word >> _SIGNAL & 7 != PURCHASE:
            return at_min << _LAST | PURCHASE << _SIGNAL | touches
        bought, rate = 1, _RATE_UNIT
    first_day = last // _MINUTES_A_DAY - span
    if at_min >= last:
        rate = _RATE_UNIT + round(rate * exp2((last - at_min) / RATE_HALF_LIFE_MIN))
        last = at_min
    else:
        rate += round(_RATE_UNIT * exp2((at_min - last) / RATE_HALF_LIFE_MIN))
        first_day = min(first_day, at_min // _MINUTES_A_DAY)
    return (
        last << _LAST
        | PURCHASE << _SIGNAL
        | touches
        | min(bought + 1, _MAX_BOUGHT) << _BOUGHT
        | min(rate, _MAX_RATE) << _RATE
        | min(last // _MINUTES_A_DAY - first_day, _MAX_SPAN) << _SPAN
    )


def merged(a: Touch, b: Touch) -> Touch:
    """Return what two histories of one item come to together; the signal is that of the later one."""
    if bool(a.bought) != bool(b.bought):
        early, late = (a, b) if b.bought else (b, a)
    else:
        early, late = (a, b) if a.last_min <= b.last_min else (b, a)
    age = max(0, late.last_min - early.last_min)
    day = late.last_min // _MINUTES_A_DAY
    first_day = min((t.last_min // _MINUTES_A_DAY - t.span_days for t in (a, b) if t.bought), default=day)
    return Touch(
        last_min=late.last_min,
        signal=late.signal,
        touches=a.touches + b.touches,
        bought=a.bought + b.bought,
        rate=late.rate + early.rate * 0.5 ** (age / RATE_HALF_LIFE_MIN),
        span_days=day - first_day,
    )
