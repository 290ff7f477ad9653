"""A log of joined feedback as arrays: what was shown where, with which propensity, and what came of it.

LOG is a file of the topic `feedback` (JSON lines, packed or not, or Parquet), or a folder with `feedback.jsonl`, in
which `items.jsonl` may name items that were never shown. Each `feedback_id` counts once; receipts are passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.tensors import HEADS
from streams.contracts.items import decode_item
from streams.contracts.slates import Feedback, decode_feedback
from streams.errors import BadEvent, Misuse
from streams.event_log import ENDINGS, FEEDBACK, ITEMS, find_file, read_lines
from streams.features.item import digest_of

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Log:
    """N items shown in B slates, each slate's from the top down.

    Of each item shown: `items` (N,) are numbers into `item_ids`, `positions` (N,), `propensities` (N,) in (0, 1], and
    `rewards` (N,), 1 where the outcome came and else 0. `offsets` (B + 1,) is where each slate begins, `users` (B,)
    whose it is, by number. `item_ids` holds all that could be shown, as far as is known.
    """

    path: Path
    item_ids: list[str]
    items: Numbers
    positions: Numbers
    propensities: Values
    rewards: Values
    offsets: Numbers
    users: Numbers

    @property
    def depth(self) -> int:
        """The number of positions."""
        return int(self.positions.max()) + 1

    def records(self) -> Iterator[Feedback]:
        """Read the records again, in the order of the slates, with all else that they hold."""
        return read_feedback(self.path)


def load(path: Path, outcome: str = "click") -> Log:
    """Load a log; the reward is whether people went as far as `outcome`, one of HEADS, or further.

    Raises:
        Misuse: the log can't be read, a line is no feedback or has no propensity, or nothing is in it.
    """
    numbers, users = _known_items(path), dict[str, int]()
    found = find_file(path, FEEDBACK)
    items, positions, propensities, rewards, sizes, owners = [], [], [], [], [], []
    deep = HEADS.index(outcome)
    for record in read_feedback(found):
        for shown in sorted(record.items, key=lambda one: one.position):
            items.append(numbers.setdefault(shown.item_id, len(numbers)))
            positions.append(shown.position)
            propensities.append(shown.propensity)
            rewards.append(shown.outcome is not None and HEADS.index(shown.outcome) >= deep)
        sizes.append(len(record.items))
        owners.append(users.setdefault(record.user_id, len(users)))
    if not items:
        raise Misuse(f"{found}: holds no feedback: was a slate served, and its attribution window closed?")
    return Log(
        path=found,
        item_ids=list(numbers),
        items=np.array(items),
        positions=np.array(positions),
        propensities=np.array(propensities),
        rewards=np.array(rewards, np.float64),
        offsets=np.cumsum([0, *sizes]),
        users=np.array(owners),
    )


def read_feedback(path: Path) -> Iterator[Feedback]:
    """Yield each record of a file once, those of an empty slate left out.

    Raises:
        Misuse: the file can't be read, or a line is no feedback; names the line and the field.
    """
    seen: set[int] = set()
    for number, raw in read_lines(path):
        try:
            record = decode_feedback(raw)
        except BadEvent as exc:
            raise Misuse(f"{path}:{number}: no feedback: {exc}") from exc
        if not isinstance(record, Feedback) or not record.items or (digest := digest_of(record.feedback_id)) in seen:
            continue
        seen.add(digest)
        yield record


def _known_items(path: Path) -> dict[str, int]:
    """Number the items of the folder's catalogue, if there is one."""
    if not path.is_dir() or not any((path / f"{ITEMS}{ending}").exists() for ending in ENDINGS):
        return {}
    numbers: dict[str, int] = {}
    file = find_file(path, ITEMS)
    for number, raw in read_lines(file):
        try:
            numbers.setdefault(decode_item(raw).item_id, len(numbers))
        except BadEvent as exc:
            raise Misuse(f"{file}:{number}: no item: {exc}") from exc
    return numbers
