"""Which steps are learned from and which stop the training: parts of a log in its order.

What comes before TRAIN_FROM only fills the counters, as a shop's have long been filled when a ranker is asked. The last
part is for validation. Steps of both are drawn at random, as many as a training can use, and fairly among users.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streams.errors import Misuse
from training.recipe import Limits
from training.shards import LISTS
from training.steps import Step

TRAIN, VALIDATION = "train", "validation"
TRAIN_FROM, VALIDATION_FROM = 0.5, 0.9
"""Shares of a log's steps after which each part begins."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A step to record, its user's number, and how many negatives to keep (0: all); `shard` is where it goes."""

    split: str
    shard: str
    user: int
    step: Step
    negatives: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """Steps to record, by the place of their first signal.

    `train_from` and `validation_from` are the signals where the first of these parts and validation begin. No sequence
    goes on at signal number `until`, if there is one.
    """

    wanted: dict[int, Wanted]
    train_from: int
    validation_from: int
    steps: int
    until: int | None = None


def choose(steps: Iterable[Step], limits: Limits, seed: int) -> Chosen:
    """Draw the steps to record.

    Raises:
        Misuse: there are too few.
    """
    ordered = sorted(steps, key=lambda step: step.number)
    first, second = (int(len(ordered) * share) for share in (TRAIN_FROM, VALIDATION_FROM))
    if not 0 < first < second < len(ordered):
        raise Misuse(f"the log has {len(ordered)} steps, which are too few to learn from: it takes some thousands")
    generator = np.random.default_rng(seed)
    places = {
        TRAIN: drawn(ordered, first, second, limits.train, generator),
        VALIDATION: drawn(ordered, second, len(ordered), limits.validation, generator),
    }
    return Chosen(wanted(ordered, places, limits), ordered[first].number, ordered[second].number, len(ordered))


def wanted(ordered: Sequence[Step], places: Mapping[str, Sequence[int]], limits: Limits) -> dict[int, Wanted]:
    """Return the steps at these places of each split as they are recorded; only TRAIN goes without some negatives."""
    users: dict[str, int] = {}
    found: dict[int, Wanted] = {}
    for split, chosen in places.items():
        for count, place in enumerate(chosen):
            step, shard = ordered[place], f"{split}-{count // LISTS:04d}"
            user = users.setdefault(step.user_id, len(users))
            found[step.number] = Wanted(split, shard, user, step, limits.negatives if split == TRAIN else 0)
    return found


def drawn(ordered: Sequence[Step], low: int, high: int, limit: int, generator: np.random.Generator) -> list[int]:
    """Draw `limit` places from `low` to `high`, ascending; a user's next step only when every user has had its turn.

    Who does a lot is not to decide what is learned for everybody.
    """
    turns: Counter[str] = Counter()
    queue: list[tuple[int, int]] = []
    for place in (low + generator.permutation(high - low)).tolist():
        user_id = ordered[place].user_id
        queue.append((turns[user_id], place))
        turns[user_id] += 1
    queue.sort(key=lambda pair: pair[0])  # stable: within a turn the order stays drawn
    return sorted(place for _, place in queue[:limit])
