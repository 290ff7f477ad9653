"""Which steps of a lake a challenger learns from, and which judge it: parts of a log in time.

    | counters fill | older: replay, old slice | window: train, then validation | newest slice |

The window is what the champion may not know yet. A sample of what is older is learned again beside it, so that nothing
is forgotten; the old slice, drawn from the same time and not learned from as lists, tells whether anything was. The
newest slice judges: nothing of it is learned, not even as sequences. A log no longer than its window has no older part.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from streams.errors import Misuse
from training.recipe import Limits
from training.splits import TRAIN, TRAIN_FROM, VALIDATION, VALIDATION_FROM, Chosen, drawn, wanted
from training.steps import Step

OLD, NEWEST = "old", "newest"


@dataclass(frozen=True, slots=True)
class Periods:
    """Where window and newest slice begin, and which share of the lists to learn from is a replay of older ones."""

    window_from_ms: int
    newest_from_ms: int
    replay: float


def choose_periods(steps: Iterable[Step], periods: Periods, limits: Limits, seed: int) -> Chosen:
    """Draw the steps to record.

    Raises:
        Misuse: a period has too few.
    """
    ordered = sorted(steps, key=lambda step: step.number)
    newest = _place(ordered, periods.newest_from_ms)
    if newest == len(ordered):
        raise Misuse("nobody did anything in the newest slice: nothing to judge a challenger by; wait, or widen it")
    filled = int(newest * TRAIN_FROM)
    window = max(filled, _place(ordered, periods.window_from_ms))
    second = window + int((newest - window) * (VALIDATION_FROM - TRAIN_FROM) / (1 - TRAIN_FROM))
    if not filled < newest or not window < second < newest:
        raise Misuse(
            f"the lake has {newest} steps before the newest slice, {newest - window} of them in the window: too few to "
            "learn from, it takes some thousands"
        )
    generator = np.random.default_rng(seed)
    old = drawn(ordered, filled, window, min(limits.validation, (window - filled) // 2), generator)
    replayed = _without(old, drawn(ordered, filled, window, round(periods.replay * limits.train), generator))
    places = {
        OLD: old,
        TRAIN: [*replayed, *drawn(ordered, window, second, limits.train - len(replayed), generator)],
        VALIDATION: drawn(ordered, second, newest, limits.validation, generator),
        NEWEST: drawn(ordered, newest, len(ordered), limits.validation, generator),
    }
    first = min(place for some in places.values() for place in some)
    numbers = [ordered[place].number for place in (first, second, newest)]
    return Chosen(wanted(ordered, places, limits), numbers[0], numbers[1], len(ordered), until=numbers[2])


def _place(ordered: Sequence[Step], from_ms: int) -> int:
    """Return the place of the first step from that time on."""
    return next((place for place, step in enumerate(ordered) if step.at_ms >= from_ms), len(ordered))


def _without(some: Sequence[int], others: Sequence[int]) -> list[int]:
    left = set(some)
    return [place for place in others if place not in left]
