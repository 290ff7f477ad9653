"""What each user went for, in order, as hashed ids and codes: all of it in two arrays, four bytes a signal.

An item that follows itself is one place of a sequence, as a state knows an item once.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.tensors import CODE_LEVELS
from streams.evaluation.base import Signal
from streams.features.item import Catalogue, digest_of, hashed_id


@dataclass(frozen=True, slots=True)
class Sequences:
    """U sequences: user u has items[offsets[u]:offsets[u + 1]], places in `ids`; `early` (U,) are its first ones.

    `early` counts the signals that came before the lists to learn from begin.
    """

    ids: NDArray[np.int32]  # (I,), the hashed id of each item
    codes: NDArray[np.int32]  # (I, C), the semantic code of each item, 0 where unknown
    items: NDArray[np.int32]  # (M,)
    offsets: NDArray[np.int64]  # (U + 1,)
    early: NDArray[np.int64]  # (U,)

    @property
    def users(self) -> int:
        """The number of sequences, U."""
        return len(self.early)

    @classmethod
    def of(cls, signals: Iterable[Signal], early_until: int, catalogue: Catalogue | None = None) -> "Sequences":
        """Sort signals by user; those before number `early_until` are the early ones. Codes are the catalogue's."""
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
        codes = np.zeros((len(numbers), CODE_LEVELS), np.int32)
        for number, item_id in enumerate(numbers):
            if catalogue is not None and (index := catalogue.index.get(item_id)) is not None:
                codes[number] = catalogue.semantic[index]
        sizes = [len(sequence) for sequence in users.values()]
        return cls(
            ids=np.array([hashed_id(digest_of(item)) for item in numbers], np.int32),
            codes=codes,
            items=np.concatenate([np.frombuffer(sequence, np.int32) for sequence in users.values()]),
            offsets=np.concatenate(([0], np.cumsum(sizes))),
            early=np.array([early.get(user, 0) for user in users], np.int64),
        )

    def windows(self, length: int, context: int, *, early: bool) -> NDArray[np.int32]:
        """Return the sequences cut into rows of `length` places in `ids`, (N, length), padded behind with -1.

        Rows of one user overlap by `context` places, which a row behind them needs to know. With `early` only the
        early part is there.
        """
        return np.array(list(self._rows(length, context, early)), np.int32).reshape(-1, length)

    def _rows(self, length: int, context: int, early: bool) -> Iterator[NDArray[np.int32]]:
        for user, start in enumerate(self.offsets[:-1].tolist()):
            end = start + int(self.early[user]) if early else int(self.offsets[user + 1])
            for first in range(start, max(start + 1, end - context), length - context):
                row = np.full(length, -1, np.int32)
                cut = self.items[first : min(end, first + length)]
                row[: len(cut)] = cut
                if len(cut) > 1:
                    yield row
