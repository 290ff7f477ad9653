"""What of a log is not learned from, though the pipeline folds it as the worker does: features must be as served.

A signal that is left out labels no list and is in no sequence. Each rule compares the data with itself:

- **repeat**: the same signal of the same user (kind, item, order, quantity, price, value, text) within `repeat_ms`, by
  default at the same millisecond: a producer that tries again under a new `event_id`. A second also catches double
  clicks, but in logs with made-up times (sessions a minute apart) it takes real returns to an item for repeats. What
  repeats an `event_id` never gets here.
- **robot**: a user whose moments (times with a signal, so a basket is one) per active day lie more than
  `robot_deviations` above the median of all users, in logs, and above `robot_moments`: where all are alike the
  deviation says nothing, and nobody chooses hundreds of things on every day.
- **absurd**: a quantity or price more than `absurd_deviations` away from its item's own median, in logs, and off by
  `absurd_factor`: a slip of units or of the keyboard. Fuel that is always sold by the thousand is not absurd. An item
  with fewer than MIN_VALUES values has no median to speak of.

Deviations are 1.4826 times the median absolute deviation, which a tenth of wild values doesn't move (Hampel, "The
influence curve and its role in robust estimation", 1974).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streams.contracts import events as ev
from streams.evaluation.base import Signal
from streams.evaluation.log import Entry, signal
from training.recipe import Cleaning

DAY_MS = 86_400_000
MIN_VALUES = 10
_PER_OCTAVE = 4
_TO_SIGMA = 1.4826
_AMOUNTS = ("quantity", "price")
Numbered = tuple[int, Signal]
"""A signal with its number among all signals of the log, clean or not."""


@dataclass(slots=True)
class Cleaner:
    """Knows who is a robot and what is absurd in a log. `left_out` counts what `signals` left out last time."""

    rules: Cleaning
    robots: frozenset[str]
    bounds: dict[str, dict[str, tuple[int, int]]]
    left_out: Counter[str] = field(default_factory=Counter)

    @classmethod
    def survey(cls, entries: Iterable[Entry], rules: Cleaning) -> "Cleaner":
        """Read a log once; memory grows with users and items, not with events."""
        days, amounts = _Days(), {name: defaultdict[str, Counter[int]](Counter) for name in _AMOUNTS}
        for entry in entries:
            if (one := signal(entry)) is None:
                continue
            days.add(one)
            for name, bucket in _amounts(entry.event):
                amounts[name][one.item_id][bucket] += 1
        bounds = {name: _bounds(of_item, rules) for name, of_item in amounts.items()}
        return cls(rules, days.robots(rules), bounds)

    def signals(self, entries: Iterable[Entry]) -> Iterator[Numbered]:
        """Yield the signals of a log that are learned from."""
        self.left_out = Counter(dict.fromkeys(("repeats", "robots", "absurd"), 0))
        recent = _Recent(self.rules.repeat_ms)
        number = -1
        for entry in entries:
            if (one := signal(entry)) is None:
                continue
            number += 1
            why = self._why(entry, one, recent)
            if why is None:
                yield number, one
            else:
                self.left_out[why] += 1

    def told(self) -> dict[str, int]:
        """Return what was left out last time: signals by rule, and how many users are robots."""
        return {"robot_users": len(self.robots)} | dict(self.left_out)

    def _why(self, entry: Entry, one: Signal, recent: "_Recent") -> str | None:
        """Return why a signal is left out."""
        if one.user_id in self.robots:
            return "robots"
        if recent.has(entry, one):
            return "repeats"
        for name, bucket in _amounts(entry.event):
            low, high = self.bounds[name].get(one.item_id, (bucket, bucket))
            if not low <= bucket <= high:
                return "absurd"
        return None


class _Days:
    """How many moments and active days each user had."""

    def __init__(self) -> None:
        self._users: dict[str, tuple[int, int, int]] = {}

    def add(self, one: Signal) -> None:
        moments, days, last_ms = self._users.get(one.user_id, (0, 0, -1))
        if one.at_ms != last_ms:
            new_day = one.at_ms // DAY_MS != last_ms // DAY_MS
            self._users[one.user_id] = (moments + 1, days + new_day, one.at_ms)

    def robots(self, rules: Cleaning) -> frozenset[str]:
        if not self._users:
            return frozenset()
        pace = np.log([moments / days for moments, days, _ in self._users.values()])
        middle = float(np.median(pace))
        deviation = _TO_SIGMA * float(np.median(np.abs(pace - middle)))
        most = max(math.log(rules.robot_moments), middle + rules.robot_deviations * deviation)
        return frozenset(user for user, own in zip(self._users, pace.tolist(), strict=True) if own > most)


class _Recent:
    """What each user did in the last moment."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._users: dict[str, tuple[int, dict[int, int]]] = {}

    def has(self, entry: Entry, one: Signal) -> bool:
        """Tell whether the signal repeats one, and note it."""
        last_ms, seen = self._users.get(one.user_id, (one.at_ms, {}))
        if abs(one.at_ms - last_ms) > self._window_ms:
            seen = {}
        event = entry.event
        order, quantity, price, value, text = (
            getattr(event, name, None) for name in ("order_id", "quantity", "price", "value", "text")
        )
        said = hash((one.kind, one.item_id, order, quantity, price, value, text))
        before = seen.get(said)
        seen[said] = one.at_ms
        self._users[one.user_id] = (one.at_ms, seen)
        return before is not None and abs(one.at_ms - before) <= self._window_ms


def _amounts(event: ev.UserEvent) -> Iterator[tuple[str, int]]:
    """Yield the amounts of a purchase, in logarithmic buckets."""
    if isinstance(event, ev.Purchase):
        yield "quantity", round(_PER_OCTAVE * math.log2(event.quantity))
        if event.price:
            yield "price", round(_PER_OCTAVE * math.log2(event.price))


def _bounds(amounts: dict[str, Counter[int]], rules: Cleaning) -> dict[str, tuple[int, int]]:
    """Return the lowest and the highest bucket of each item that is not absurd."""
    factor = _PER_OCTAVE * math.log2(rules.absurd_factor)
    found = {}
    for item, counts in amounts.items():
        if counts.total() < MIN_VALUES:
            continue
        buckets, sizes = np.array(list(counts)), np.array(list(counts.values()))
        middle = _median(buckets, sizes)
        deviation = _TO_SIGMA * _median(np.abs(buckets - middle), sizes)
        width = max(factor, rules.absurd_deviations * deviation)
        found[item] = (math.floor(middle - width), math.ceil(middle + width))
    return found


def _median(values: NDArray[np.int64], sizes: NDArray[np.int64]) -> int:
    """Return the (lower) median of values that come so many times each."""
    order = np.argsort(values)
    at = np.searchsorted(np.cumsum(sizes[order]), (sizes.sum() + 1) // 2)
    return int(values[order][at])
