"""What a sequence model learns: the next item, or the items that a mask hides.

    L = -log softmax(s)_j,   j the item that comes, or that was there, over all items

Both predict among the whole catalogue; where that is large, a part of a batch's places is drawn, so that memory stays
bounded (CELLS) and the mean stays unbiased.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.loop import Rows

HIDDEN = 0.2
"""Share of the places that is hidden."""
CELLS = 40_000_000
"""Scores of one part of a batch at most, four bytes each and as much again for their gradient."""


class NextItem:
    """Rows of item numbers (N, LENGTH), -1 behind, and which places are to be told from what is before them."""

    def __init__(self, rows: NDArray[np.int32], wanted: NDArray[np.bool_], items: int) -> None:
        self.rows, self._numbers, self._wanted, self._items = len(rows), rows, wanted, items

    def loss(self, model: nn.Module, rows: Rows, generator: np.random.Generator) -> Tensor:
        """Return the mean over places."""
        some, wanted = self._numbers[rows].astype(np.int64), self._wanted[rows]
        length = int((some >= 0).sum(axis=1).max())
        some, wanted = some[:, :length], _drawn(wanted[:, 1:length], CELLS // self._items, generator)
        return _cross_entropy(model, some[:, :-1], wanted, some[:, 1:][wanted], both_ways=False)

    def judge(self, model: nn.Module) -> None:
        """Return nothing: the last epoch is the best, as the learning rate has come to its end."""


class MaskedItems:
    """Such rows, some places hidden."""

    def __init__(self, rows: NDArray[np.int32], items: int) -> None:
        self.rows, self._numbers, self._items = len(rows), rows, items

    def loss(self, model: nn.Module, rows: Rows, generator: np.random.Generator) -> Tensor:
        """Return the mean over hidden places; of each row one is hidden at least."""
        some = self._numbers[rows].astype(np.int64)
        lengths = (some >= 0).sum(axis=1)
        hidden = (generator.random(some.shape) < HIDDEN) & (some >= 0)
        hidden[np.arange(len(some)), generator.integers(lengths)] = True
        shown = np.where(hidden, self._items + 1, some)
        wanted = _drawn(hidden, CELLS // self._items, generator)
        return _cross_entropy(model, shown, wanted, some[wanted], both_ways=True)

    def judge(self, model: nn.Module) -> None:
        """Return nothing, as above."""


def _drawn(places: NDArray[np.bool_], most: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Return the places, or `most` of them if there are more."""
    if np.count_nonzero(places) <= most:
        return places
    kept = np.zeros_like(places)
    kept.flat[generator.choice(np.flatnonzero(places), max(1, most), replace=False)] = True
    return kept


def _cross_entropy(
    model: nn.Module, shown: NDArray[np.int64], wanted: NDArray[np.bool_], right: NDArray[np.int64], *, both_ways: bool
) -> Tensor:
    device = next(model.parameters()).device
    scores = model(torch.from_numpy(shown).to(device), torch.from_numpy(wanted).to(device), both_ways=both_ways)
    return functional.cross_entropy(scores.float(), torch.from_numpy(right).to(device))
