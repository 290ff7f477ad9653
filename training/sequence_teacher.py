"""The teacher that knows behaviour alone: which item comes next, by cross-entropy over all items, not a sample.

    L = -log softmax(s)_next        for every place of every sequence

A full softmax is what makes such a model strong (Klenitskiy and Vasilev, RecSys 2023). Masked items may come before.
What judges lists that a student learns from must not know their answers, which stand in the sequences: of the
part `early` it knows what came before all of the lists, and `sequence_slices.py` has one teacher for each while.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.tensors import HEADS, HISTORY
from streams.errors import Misuse
from training.checkpoints import digest
from training.lists import Lists
from training.loop import Course, Progress, run
from training.pretrain import LENGTH
from training.sequence_model import SequenceModel, SequenceShape
from training.sequence_tasks import MaskedItems, NextItem
from training.sequences import Part, Sequences

_BATCH = 256
"""Histories that are judged at once."""


@dataclass(frozen=True, slots=True)
class SequenceRecipe:
    """How to train; a row is a sequence of at most LENGTH places. `masked_epochs` of hidden items come first."""

    shape: SequenceShape = field(default_factory=SequenceShape)
    course: Course = field(
        default_factory=lambda: Course(epochs=30, batch_rows=128, learning_rate=2e-3, weight_decay=0.1, clip=5.0)
    )
    masked_epochs: int = 0


class SequenceTeacher:
    """Judges candidates by log p(item | history) among all items; the same for each head."""

    name = "sequence"

    def __init__(self, model: SequenceModel, ids: NDArray[np.int32]) -> None:
        """`ids` (I,) are the hashed ids of the model's items."""
        self.model = model.eval()
        order = np.argsort(ids, kind="stable")
        self._order, self._sorted = order, ids[order]

    def numbers(self, ids: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the numbers of items by hashed ids, of the same shape; -1 for one that isn't known."""
        at = np.minimum(np.searchsorted(self._sorted, ids), len(self._sorted) - 1)
        return np.where(self._sorted[at] == ids, self._order[at], -1)

    def logits(self, lists: Lists) -> NDArray[np.float32]:
        """Return the log-probability of each candidate, (R, H); one that isn't known gets the mean of all items."""
        said = np.empty(len(lists.item_ids), np.float32)
        candidates = self.numbers(lists.item_ids)
        histories = _oldest_first(self.numbers(lists.history_ids))
        device = next(self.model.parameters()).device
        for first in range(0, len(lists), _BATCH):
            some = torch.from_numpy(histories[first : first + _BATCH]).to(device)
            with torch.inference_mode():
                share = self.model.logits(self._after(some)).float().log_softmax(dim=1).cpu().numpy()  # (B, I)
            for row, n in zip(share, range(first, len(lists)), strict=False):
                places = slice(int(lists.offsets[n]), int(lists.offsets[n + 1]))
                wanted = candidates[places]
                said[places] = np.where(wanted >= 0, row[wanted.clip(0)], row.mean())
        return np.repeat(said[:, None], len(HEADS), axis=1)

    def _after(self, histories: Tensor) -> Tensor:
        """Return h after histories (B, T), oldest first, -1 behind; 0 after an empty one."""
        last = (histories >= 0).sum(dim=1) - 1
        h = self.model.along(histories)[torch.arange(len(histories), device=histories.device), last.clamp_min(0)]
        return h * (last >= 0).unsqueeze(1)


def train_sequences(
    sequences: Sequences,
    recipe: SequenceRecipe,
    *,
    part: Part,
    begin: SequenceTeacher | None = None,
    folder: Path | None = None,
    progress: Progress = lambda line: None,
) -> SequenceTeacher:
    """Return a teacher that learned a part of the sequences; it begins as `begin`, if given.

    Raises:
        Misuse: no sequence has two items.
        Diverged, BadModel, CannotWrite: as `loop.run`.
    """
    rows, wanted = sequences.windows(LENGTH, HISTORY, part)
    if not len(rows):
        raise Misuse("nothing to learn from: no sequence has two items")
    torch.manual_seed(recipe.course.seed)
    items = len(sequences.ids)
    if begin is None:
        model = SequenceModel(items, recipe.shape)
    else:
        model = begin.model.grown(torch.from_numpy(begin.numbers(sequences.ids)))
    made_by = {"items": items, "part": part, "masked_epochs": recipe.masked_epochs, "data": digest([rows.tobytes()])}
    if recipe.masked_epochs:
        course = replace(recipe.course, epochs=recipe.masked_epochs)
        before = None if folder is None else folder / "masked"
        run(model, MaskedItems(rows, items), course, folder=before, made_by=made_by, progress=progress)
    run(model, NextItem(rows, wanted, items), recipe.course, folder=folder, made_by=made_by, progress=progress)
    return SequenceTeacher(model, sequences.ids)


def _oldest_first(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turn rows (N, T), latest first, -1 where nothing is known, so that the latest comes last and -1 behind."""
    turned = numbers[:, ::-1]
    order = np.argsort(turned < 0, axis=1, kind="stable")
    return np.take_along_axis(turned, order, axis=1)
