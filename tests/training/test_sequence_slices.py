"""Slices in time: each list is judged by the latest teacher that has not seen its answer."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streams.errors import Misuse
from streams.evaluation.base import Signal
from streams.evaluation.log import Log, signal
from tests.training.test_sequence_teacher import RECIPE
from training.dataset import Dataset
from training.lists import Lists
from training.loop import Course
from training.sequence_model import SequenceModel
from training.sequence_slices import SliceRecipe, TimedTeacher, cuts_of, train_slices
from training.sequence_teacher import SequenceTeacher

SHORT = SliceRecipe(
    replace(RECIPE, course=Course(epochs=2, batch_rows=32, learning_rate=1e-2)), slices=3, later_epochs=1
)


@dataclass(frozen=True)
class Says:
    """Says one number of everything."""

    number: float
    name: str = "says"

    def logits(self, lists: Lists) -> NDArray[np.float32]:
        return np.full((len(lists.item_ids), 3), self.number, np.float32)


def signals(log: Path, change_from_ms: int | None = None) -> Iterator[Signal]:
    """Return the shop's signals, with other items from a time on."""
    for entry in Log(log):
        one = signal(entry)
        assert one is not None
        other = change_from_ms is not None and one.at_ms >= change_from_ms
        yield replace(one, item_id=f"i{79 - int(one.item_id[1:])}") if other else one


def test_each_list_is_judged_by_the_latest_teacher_that_may(dataset: Dataset) -> None:
    cuts = cuts_of(dataset, 3)
    assert len(cuts) == 4
    lists = dataset.whole("train")
    said = TimedTeacher(tuple(cuts), tuple(Says(n) for n in range(4))).logits(lists)
    expected = (lists.at_ms[:, None] >= np.array(cuts)).sum(axis=1) - 1
    assert np.array_equal(said[:, 0], np.repeat(expected, np.diff(lists.offsets)))
    shares = np.bincount(expected) / len(lists)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.05)
    validation = dataset.whole("validation")
    assert np.all(TimedTeacher(tuple(cuts), tuple(Says(n) for n in range(4))).logits(validation) == 3)


def test_a_teacher_knows_all_before_its_cut_and_nothing_after(dataset: Dataset, log: Path) -> None:
    cuts = cuts_of(dataset, SHORT.slices)
    plain = train_slices(lambda: signals(log), cuts, SHORT)
    changed = train_slices(lambda: signals(log, cuts[2]), cuts, SHORT)
    for n, (one, two) in enumerate(zip(plain.teachers, changed.teachers, strict=True)):
        assert isinstance(one, SequenceTeacher)
        assert isinstance(two, SequenceTeacher)
        states = one.model.state_dict(), two.model.state_dict()
        same = all(states[0][name].equal(states[1][name]) for name in states[0])
        assert same == (n <= 2)


def test_a_model_that_grew_says_the_same_of_what_it_knew() -> None:
    """Whatever number it has now: a late event may come before an item that was known earlier."""
    torch.manual_seed(0)
    model = SequenceModel(10, RECIPE.shape).eval()
    torch.nn.init.normal_(model.bias)
    known = torch.tensor([3, -1, 0, 1, 2, 9, 8, 7, -1, 6, 5, 4])
    larger, now = model.grown(known).eval(), known.argsort()[2:]  # where each item is now
    before = torch.tensor([[1, 9, 3], [2, 4, 7]])
    after = now[before]
    assert torch.equal(larger.along(after), model.along(before))
    said = larger.logits(larger.along(after))
    torch.testing.assert_close(said[..., now], model.logits(model.along(before)))
    hidden = torch.tensor([[1, 11, 3]]), torch.tensor([[int(now[1]), 13, int(now[3])]])
    assert torch.equal(larger.along(hidden[1], both_ways=True), model.along(hidden[0], both_ways=True))


def test_a_list_before_the_first_cut_has_no_judge(dataset: Dataset) -> None:
    lists = dataset.whole("train")
    with pytest.raises(Misuse, match="a list lies before"):
        TimedTeacher((int(lists.at_ms.max()),), (Says(1.0),)).logits(lists)


def test_a_cut_before_the_log_is_refused(log: Path) -> None:
    with pytest.raises(Misuse, match="no signal before the first cut, at 5 ms"):
        train_slices(lambda: signals(log), [5, 10], SHORT)
