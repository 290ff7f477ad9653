"""What each user went for, in order, as hashed ids and codes: all of it in two arrays, four bytes a signal.

An item that follows itself is one place of a sequence, as a state knows an item once.
"""

import sys
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from inference.tensors import CODE_LEVELS
from streams.errors import Misuse
from streams.evaluation.base import Signal
from streams.features.item import Catalogue, digest_of, hashed_id

Part = Literal["early", "late", "whole"]
"""How much of the sequences: what came before the lists to learn from, before those that validate, or all."""


@dataclass(frozen=True, slots=True)
class Sequences:
    """U sequences: user u has items[offsets[u]:offsets[u + 1]], places in `ids`.

    `early` (U,) counts those of its signals that came before the lists to learn from begin, `late` (U,) those that came
    before the lists that validate.
    """

    ids: NDArray[np.int32]  # (I,), the hashed id of each item
    codes: NDArray[np.int32]  # (I, C), the semantic code of each item, 0 where unknown
    items: NDArray[np.int32]  # (M,)
    offsets: NDArray[np.int64]  # (U + 1,)
    early: NDArray[np.int64]  # (U,)
    late: NDArray[np.int64]  # (U,)

    @property
    def users(self) -> int:
        """The number of sequences, U."""
        return len(self.early)

    def save(self, path: Path) -> None:
        """Write them to a file."""
        with path.open("wb") as file:
            np.savez(file, **{one.name: getattr(self, one.name) for one in fields(self)})

    @classmethod
    def of(cls, signals: Iterable[Signal], early_until: int = 0, late_until: int = 0) -> "Sequences":
        """Sort signals by user; parts end before these numbers of signals. No item has a code."""
        growing = Growing()
        deque(growing.through(enumerate(signals)), maxlen=0)
        return growing.sequences(early_until, late_until)

    @classmethod
    def load(cls, path: Path) -> "Sequences":
        """Read what `save` wrote.

        Raises:
            Misuse: it is missing, cut or damaged.
        """
        try:
            with np.load(path) as arrays:
                return cls(**{one.name: arrays[one.name] for one in fields(cls)})
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as exc:
            raise Misuse(f"{path}: cannot read the sequences: remove the folder, and train again") from exc

    def windows(self, length: int, context: int, part: Part) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return the sequences cut into rows of `length` places in `ids`, padded behind with -1, and what to predict.

        Both (N, length). Rows of one user overlap by `context` places, which a row behind them needs to know; each
        place but a sequence's first is to be predicted in one row. Only the `part` is there.
        """
        cuts = list(self._cuts(length, context, part))
        rows, wanted = np.full((len(cuts), length), -1, np.int32), np.zeros((len(cuts), length), np.bool_)
        for n, (first, last, known) in enumerate(cuts):
            rows[n, : last - first] = self.items[first:last]
            wanted[n, known : last - first] = True
        return rows, wanted

    def _cuts(self, length: int, context: int, part: Part) -> Iterator[tuple[int, int, int]]:
        """Yield where each row begins and ends in `items`, and how many of its places are context alone."""
        starts = self.offsets[:-1]
        ends = self.offsets[1:] if part == "whole" else starts + getattr(self, part)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            for first in range(start, max(start + 1, end - context), length - context):
                if end - first > 1:
                    yield first, min(end, first + length), 1 if first == start else context


class Growing:
    """Sorts signals by user as they pass by."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._users: dict[str, tuple[array[int], array[int]]] = {}

    def through(self, signals: Iterable[tuple[int, Signal]]) -> Iterator[tuple[int, Signal]]:
        """Yield numbered signals on, each when it is in its place."""
        for number, one in signals:
            sequence, came = self._users.setdefault(one.user_id, (array("i"), array("q")))
            item = self._numbers.setdefault(one.item_id, len(self._numbers))
            if not sequence or sequence[-1] != item:
                sequence.append(item)
                came.append(number)
            yield number, one

    def sequences(
        self, early_until: int, late_until: int, catalogue: Catalogue | None = None, until: int | None = None
    ) -> Sequences:
        """Return the sequences of all that passed by, or of what did before number `until`.

        What came before numbers `early_until` and `late_until` are those parts. Codes are the catalogue's.

        Raises:
            Misuse: nothing passed by.
        """
        if not self._users:
            raise Misuse("nothing to learn from: there is no signal before the lists that are to be judged")
        last = sys.maxsize if until is None else until
        ends = [bisect_left(numbers, last) for _, numbers in self._users.values()]
        sequences, came = zip(
            *((items[:end], numbers[:end]) for (items, numbers), end in zip(self._users.values(), ends, strict=True)),
            strict=True,
        )
        codes = np.zeros((len(self._numbers), CODE_LEVELS), np.int32)
        for number, item_id in enumerate(self._numbers):
            if catalogue is not None and (index := catalogue.index.get(item_id)) is not None:
                codes[number] = catalogue.semantic[index]
        return Sequences(
            ids=np.array([hashed_id(digest_of(item)) for item in self._numbers], np.int32),
            codes=codes,
            items=np.concatenate([np.frombuffer(sequence, np.int32) for sequence in sequences]),
            offsets=np.concatenate(([0], np.cumsum([len(sequence) for sequence in sequences]))),
            early=np.array([bisect_left(numbers, early_until) for numbers in came], np.int64),
            late=np.array([bisect_left(numbers, late_until) for numbers in came], np.int64),
        )
