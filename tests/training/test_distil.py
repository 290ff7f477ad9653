"""Distillation: the student goes where its teacher points, and without one nothing changes."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inference.tensors import FEATURES, HEADS
from streams.errors import BadModel, Misuse
from tests.training.conftest import RECIPE
from training.dataset import Dataset
from training.distil import taught
from training.fit import fit, probabilities
from training.lists import Lists, batch
from training.recipe import Distillation
from training.splits import TRAIN, VALIDATION


@dataclass(frozen=True)
class Miser:
    """Goes by the price, of which labels know nothing."""

    name: str = "miser"
    column: int = FEATURES.index("price")

    def logits(self, lists: Lists) -> NDArray[np.float32]:
        said = -2.0 * lists.features[:, self.column] - 2.0
        return np.repeat(said[:, None], len(HEADS), axis=1).astype(np.float32)


class Silent(Miser):
    def logits(self, lists: Lists) -> NDArray[np.float32]:
        return np.full((len(lists.item_ids), len(HEADS)), np.nan, np.float32)


class Narrow(Miser):
    def logits(self, lists: Lists) -> NDArray[np.float32]:
        return super().logits(lists)[:, :1]


def agreement(dataset: Dataset, alpha: float, teacher: Miser) -> float:
    """Return how a student's scores of the validation lists go with its teacher's."""
    fitted = fit(dataset, replace(RECIPE, distillation=Distillation(alpha=alpha, temperature=1.0)))
    lists = dataset.whole(VALIDATION)
    p = probabilities(fitted.student, lists)[:, -1]
    return float(np.corrcoef(np.log(p / (1 - p)), teacher.logits(lists)[:, -1])[0, 1])


def test_the_more_it_listens_the_more_it_agrees(dataset: Dataset, tmp_path: Path) -> None:
    teacher = Miser()
    lesson = taught(dataset, teacher, tmp_path / "taught")
    none, some, all_ = (agreement(lesson, alpha, teacher) for alpha in (0.0, 0.5, 1.0))
    assert none < some < all_


def test_lists_keep_everything_else_and_only_those_learned_from_are_judged(dataset: Dataset, tmp_path: Path) -> None:
    lesson = taught(dataset, Miser(), tmp_path / "taught")
    for split in (TRAIN, VALIDATION):
        before, after = dataset.whole(split), lesson.whole(split)
        assert np.array_equal(before.features, after.features)
        assert np.array_equal(before.offsets, after.offsets)
        assert (after.teacher is None) == (split == VALIDATION)
        assert before.teacher is None


def test_a_batch_has_the_teacher_where_its_candidates_are(dataset: Dataset, tmp_path: Path) -> None:
    lists = taught(dataset, Miser(), tmp_path / "taught").whole(TRAIN)
    one = batch(lists, np.array([3, 1]))
    assert one.teacher is not None
    assert one.teacher.shape == one.labels.shape
    size = int(np.diff(lists.offsets)[1])
    assert lists.teacher is not None
    assert np.array_equal(one.teacher[1, :size], lists.teacher[lists.offsets[1] :][:size])
    assert not one.teacher[one.weight == 0].any()


def test_a_teacher_that_is_not_listened_to_changes_nothing(dataset: Dataset, tmp_path: Path) -> None:
    lesson = taught(dataset, Miser(), tmp_path / "taught")
    one, other = (fit(data, RECIPE).student.state_dict() for data in (dataset, lesson))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_listening_to_nobody_is_one_sentence(dataset: Dataset) -> None:
    with pytest.raises(Misuse, match=r"distillation\.alpha"):
        fit(dataset, replace(RECIPE, distillation=Distillation(alpha=0.5)))


@pytest.mark.parametrize("teacher", [Silent(), Narrow()])
def test_a_teacher_that_says_nothing_usable_is_refused(dataset: Dataset, teacher: Miser, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="miser"):
        taught(dataset, teacher, tmp_path / "taught")
