"""Which visits are learned from, which stop the training, and which it is measured on: ranges of time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.visits import Visit, day_ms


@dataclass(frozen=True, slots=True)
class Split:
    """Visits that begin in [first, end), two days (UTC).

    Of them the `share` is taken, drawn with the seed; `negatives` are kept of a list (0: all).
    """

    name: str
    first: str
    end: str
    negatives: int = 0
    share: float = 1.0


SPLITS = (
    Split("train", "2017-04-01", "2017-10-01", negatives=60, share=0.4),
    Split("validation", "2017-10-01", "2017-11-01", share=0.3),
    Split("test", "2017-11-01", "2017-11-29"),
)
"""The splits of Complete Journey; what comes before only warms up. The last one is never learned from."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A visit to record: for which split, the user's number, and how many negatives to keep (0: all)."""

    split: str
    user: int
    visit: Visit
    negatives: int


def choose(visits: Sequence[Visit], splits: Sequence[Split], users: int | None, seed: int) -> dict[int, Wanted]:
    """Return the visits to record by the line of the log before which the request goes."""
    numbers = {user: number for number, user in enumerate(sorted({visit.user_id for visit in visits}))}
    generator = np.random.default_rng(seed)
    asked = generator.permutation(len(numbers))[:users]
    allowed, met = set(asked.tolist()), set[int]()
    ranges = [(day_ms(split.first), day_ms(split.end), split) for split in splits]
    wanted: dict[int, Wanted] = {}
    for visit in sorted(visits, key=lambda visit: visit.line):
        number = numbers[visit.user_id]
        if number not in allowed:
            continue
        split = next((split for first, end, split in ranges if first <= visit.at_ms < end), None)
        if split is None and visit.at_ms >= ranges[-1][1] and number not in met:
            split = splits[-1]
        if split is not None and generator.random() < split.share:
            wanted[visit.line] = Wanted(split.name, number, visit, split.negatives)
            if split is splits[-1]:
                met.add(number)
    return wanted
