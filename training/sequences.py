"""What each user went for, in order, as hashed ids: all of it in two arrays, four bytes a signal.

An item that follows itself is one place of a sequence, as a state knows an item once.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.evaluation.base import Signal
from streams.features.item import digest_of, hashed_id


@dataclass(frozen=True, slots=True)
class Sequences:
    """U sequences: user u has items[offsets[u]:offsets[u + 1]], places in `ids`; `early` (U,) are its first ones.

    `early` counts the signals that came before the lists to learn from begin.
    """

    ids: NDArray[np.int32]  # (I,), the hashed id of each item
    items: NDArray[np.int32]  # (M,)
    offsets: NDArray[np.int64]  # (U + 1,)
    early: NDArray[np.int64]  # (U,)

    @property
    def users(self) -> int:
        """The number of sequences, U."""
        return len(self.early)

    @classmethod
    def of(cls, signals: Iterable[Signal], early_until: int) -> "Sequences":
        """Sort signals by user; those before number `early_until` are the early ones."""
        numbers: dict[str, int] = {}
        users: dict[str, array[int]] = {}
        early: dict[str, int] = {}
        for number, one in enumerate(signals):
            sequence = users.setdefault(one.user_id, array("i"))
            item = numbers.setdefault(one.item_id, len(numbers))
            if not sequence or sequence[-1] != item:
                sequence.append(item)
            if number < early_until:
                early[one.user_id] = len(sequence)
        sizes = [len(sequence) for sequence in users.values()]
        return cls(
            ids=np.array([hashed_id(digest_of(item)) for item in numbers], np.int32),
            items=np.concatenate([np.frombuffer(sequence, np.int32) for sequence in users.values()]),
            offsets=np.concatenate(([0], np.cumsum(sizes))),
            early=np.array([early.get(user, 0) for user in users], np.int64),
        )

    def windows(self, length: int, context: int, *, early: bool) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return the sequences cut into rows of `length` places in `ids`, padded behind with -1, and what to predict.

        Both (N, length). Rows of one user overlap by `context` places, which a row behind them needs to know; each
        place but a sequence's first is to be predicted in one row. With `early` only the early part is there.
        """
        cuts = list(self._cuts(length, context, early))
        rows, wanted = np.full((len(cuts), length), -1, np.int32), np.zeros((len(cuts), length), np.bool_)
        for n, (first, last, known) in enumerate(cuts):
            rows[n, : last - first] = self.items[first:last]
            wanted[n, known : last - first] = True
        return rows, wanted

    def _cuts(self, length: int, context: int, early: bool) -> Iterator[tuple[int, int, int]]:
        """Yield where each row begins and ends in `items`, and how many of its places are context alone."""
        for user, start in enumerate(self.offsets[:-1].tolist()):
            end = start + int(self.early[user]) if early else int(self.offsets[user + 1])
            for first in range(start, max(start + 1, end - context), length - context):
                if end - first > 1:
                    yield first, min(end, first + length), 1 if first == start else context
