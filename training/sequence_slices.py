"""A sequence teacher for each while of a log, so that each list is judged by what was known just before it.

One that learned only what came before all lists falls behind the longer they go on, and one that learned more has seen
answers. So the log is cut where lists are: the first slice is learned from nothing, each later one goes on from the one
before with all that has come by then. On Beauty the first knew too little to add anything to a student, and one that
knew all up to the lists did.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.tensors import HEADS
from streams.errors import Misuse
from streams.evaluation.base import Signal
from training.dataset import Dataset
from training.lists import Lists, part
from training.loop import Progress
from training.sequence_teacher import SequenceRecipe, SequenceTeacher, train_sequences
from training.sequences import Sequences
from training.splits import TRAIN, VALIDATION
from training.teacher import Teacher


@dataclass(frozen=True, slots=True)
class SliceRecipe:
    """How to train: the first slice by `sequence`, each later one by `later_epochs` of the same; `slices` of `train`.

    More slices: fresher teachers, for that many trainings more.
    """

    sequence: SequenceRecipe = field(default_factory=SequenceRecipe)
    slices: int = 4
    later_epochs: int = 6


@dataclass(frozen=True, slots=True)
class TimedTeacher:
    """Teachers by the time up to which each learned, ascending; the latest that knows no answer judges a list."""

    cuts_ms: tuple[int, ...]
    teachers: tuple[Teacher, ...]
    name: str = "sequence"

    def logits(self, lists: Lists) -> NDArray[np.float32]:
        """Return the logits, (R, H).

        Raises:
            Misuse: a list was asked for before the first cut.
        """
        slices = np.searchsorted(np.array(self.cuts_ms), lists.at_ms, side="right") - 1  # (N,)
        if np.any(slices < 0):
            raise Misuse(f"a list lies before {self.cuts_ms[0]} ms, up to where the first teacher learned: cut earlier")
        said = np.empty((len(lists.item_ids), len(HEADS)), np.float32)
        of_candidate = np.repeat(slices, np.diff(lists.offsets))
        for n in np.unique(slices).tolist():
            said[of_candidate == n] = self.teachers[n].logits(part(lists, np.flatnonzero(slices == n)))
        return said


def cuts_of(dataset: Dataset, slices: int) -> list[int]:
    """Return times in ms that cut the lists to learn from into slices of about as many, and where validation begins.

    Raises:
        Misuse: a split is empty.
    """
    times = dataset.whole(TRAIN).at_ms
    # The time of a list, not one between two: what happened at that very time isn't known to it.
    starts = np.quantile(times, np.arange(slices) / slices, method="inverted_cdf")
    return sorted({*map(int, starts), int(dataset.whole(VALIDATION).at_ms.min())})


def train_slices(
    signals: Callable[[], Iterable[Signal]],
    cuts_ms: Sequence[int],
    recipe: SliceRecipe,
    *,
    folder: Path | None = None,
    progress: Progress = lambda line: None,
) -> TimedTeacher:
    """Return a teacher for the time from each cut on, that learned the signals before it; they are read once a cut.

    Raises:
        Misuse: there is no signal before the first cut, or no user with two items.
        Diverged, BadModel, CannotWrite: as `loop.run`.
    """
    first = next(iter(signals()), None)
    if first is None or first.at_ms >= cuts_ms[0]:
        raise Misuse(f"nothing to learn from: the log has no signal before the first cut, at {cuts_ms[0]} ms")
    teachers: list[SequenceTeacher] = []
    later = replace(
        recipe.sequence, masked_epochs=0, course=replace(recipe.sequence.course, epochs=recipe.later_epochs)
    )
    for n, cut_ms in enumerate(cuts_ms):
        sequences = Sequences.of(one for one in signals() if one.at_ms < cut_ms)
        teachers.append(
            train_sequences(
                sequences, later if n else recipe.sequence, part="whole", begin=teachers[-1] if n else None,
                folder=None if folder is None else folder / str(n),
                progress=lambda line, n=n: progress(f"slice {n + 1} of {len(cuts_ms)}, {line}"),  # type: ignore[misc]
            )
        )  # fmt: skip
    return TimedTeacher(tuple(cuts_ms), tuple(teachers))
