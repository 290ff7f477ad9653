"""An ensemble: what adds nothing gets no weight, what knows gets it, and an empty or one-sided fit is one sentence."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streams.errors import Misuse
from tests.training.conftest import RECIPE
from training.dataset import Dataset
from training.fit import fit, ndcg, probabilities
from training.lists import Lists, part
from training.teacher import StudentTeacher, fit_ensemble, judged, score


@dataclass(frozen=True)
class Knows:
    """Says how deep a candidate went, in a voice of its own and with some noise."""

    noise: float
    voice: float = 1.0
    seed: int = 0
    name: str = "knows"

    def logits(self, lists: Lists) -> NDArray[np.float32]:
        generator = np.random.default_rng(self.seed)
        clear = lists.depth[:, None] > np.arange(3)
        said = self.voice * (clear * 4.0 + generator.normal(size=(len(clear), 3)) * self.noise - 6)
        return said.astype(np.float32)


@dataclass(frozen=True)
class Guesses:
    """Says anything."""

    seed: int = 9
    name: str = "guesses"

    def logits(self, lists: Lists) -> NDArray[np.float32]:
        return np.random.default_rng(self.seed).normal(size=(len(lists.depth), 3)).astype(np.float32)


@pytest.fixture(scope="module")
def lists(dataset: Dataset) -> Lists:
    return dataset.whole("validation")


def test_what_knows_is_heard_and_what_guesses_is_not(lists: Lists) -> None:
    members = (Knows(2.0), Guesses())
    said = [member.logits(lists) for member in members]
    ensemble = fit_ensemble(members, said, lists)
    assert ensemble.weights[0] > 0.3
    assert abs(ensemble.weights[1]) < 0.15 * ensemble.weights[0]
    assert judged(ensemble.logits(lists), lists) > judged(said[1], lists) + 0.2


def test_two_who_know_different_things_know_more_together(lists: Lists) -> None:
    members = (Knows(3.0, seed=1), Knows(3.0, seed=2))
    said = [member.logits(lists) for member in members]
    odd, even = np.arange(1, len(lists), 2), np.arange(0, len(lists), 2)
    judges = part(lists, even)
    ensemble = fit_ensemble(members, said, lists, odd)
    sizes = np.diff(lists.offsets)
    of_even = np.repeat(np.arange(len(lists)) % 2 == 0, sizes)
    together = ensemble.combined([one[of_even] for one in said])
    assert judged(together, judges) > max(judged(one[of_even], judges) for one in said)


def test_a_louder_voice_is_no_better_argument(lists: Lists) -> None:
    quiet, loud = (fit_ensemble([one], [one.logits(lists)], lists) for one in (Knows(2.0), Knows(2.0, voice=10.0)))
    assert quiet.weights[0] == pytest.approx(10 * loud.weights[0], rel=0.02)
    np.testing.assert_allclose(
        quiet.combined([Knows(2.0).logits(lists)]), loud.combined([Knows(2.0, 10.0).logits(lists)]), atol=0.1
    )


def test_probabilities_have_the_level_of_the_labels(lists: Lists) -> None:
    members = (Knows(1.0), Guesses())
    z = fit_ensemble(members, [member.logits(lists) for member in members], lists).logits(lists)
    assert (1 / (1 + np.exp(-z))).mean() == pytest.approx((lists.depth > 0).mean(), rel=0.5)


def test_heads_without_labels_follow_the_deepest_that_has_some(lists: Lists) -> None:
    clicks = replace(lists, depth=np.minimum(lists.depth, 1))
    ensemble = fit_ensemble([Knows(1.0)], [Knows(1.0).logits(clicks)], clicks)
    assert ensemble.shifts[0] == ensemble.shifts[1] == ensemble.shifts[2]


def test_a_student_is_a_teacher(dataset: Dataset, lists: Lists) -> None:
    student = fit(dataset, replace(RECIPE, fit=replace(RECIPE.fit, epochs=1))).student
    said = StudentTeacher(student).logits(lists)
    np.testing.assert_allclose(1 / (1 + np.exp(-said)), probabilities(student, lists), atol=2e-6)
    assert judged(said, lists) == pytest.approx(ndcg(student, lists), abs=0.01)


@pytest.mark.parametrize("depth", [0, 1])
def test_labels_that_are_all_alike_are_refused(lists: Lists, depth: int) -> None:
    alike = replace(lists, depth=np.full_like(lists.depth, depth))
    with pytest.raises(Misuse, match="nothing to fit an ensemble on"):
        fit_ensemble([Guesses()], [Guesses().logits(alike)], alike)


def test_no_lists_are_refused(lists: Lists, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="nothing to fit an ensemble on"):
        fit_ensemble([Guesses()], [Guesses().logits(lists)], lists, np.arange(0))
    with pytest.raises(Misuse, match="split `train` is empty"):
        score(Guesses(), replace(dataset, folder=tmp_path), "train")


def test_a_part_of_lists_is_those_lists(lists: Lists) -> None:
    chosen = np.array([4, 0, 2])
    some = part(lists, chosen)
    assert len(some) == 3
    for place, n in enumerate(chosen.tolist()):
        ours, theirs = (slice(x.offsets[i], x.offsets[i + 1]) for x, i in ((some, place), (lists, n)))
        for name, column in ((one.name, getattr(lists, one.name)) for one in fields(lists) if one.name != "offsets"):
            if column is None:
                assert getattr(some, name) is None
            elif len(column) == len(lists.item_ids):
                assert np.array_equal(getattr(some, name)[ours], column[theirs])
            else:
                assert np.array_equal(getattr(some, name)[place], column[n])
    assert some.offsets[-1] == len(some.item_ids)
