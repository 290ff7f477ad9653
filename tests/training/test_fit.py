"""Training: reproducible, better than before, calibrated, and one sentence where there is nothing to learn."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.tensors import MAX_ID
from streams.errors import Misuse
from tests.training.conftest import RECIPE
from training.calibrate import platt
from training.dataset import Dataset
from training.fit import TRUSTS, Fitted, fit, fit_early, ndcg, probabilities
from training.lists import Lists
from training.pretrain import pretrain
from training.student import Student


@pytest.fixture(scope="module")
def fitted(dataset: Dataset) -> Fitted:
    return fit(dataset, RECIPE)


def all_early(dataset: Dataset) -> Dataset:
    """Return it with a taste that learns nothing more after the lists."""
    sequences = dataset.sequences
    every = np.diff(sequences.offsets)
    return replace(dataset, sequences=replace(sequences, early=every, late=every))


def turned(dataset: Dataset, begin: str, end: str | None) -> Dataset:
    """Return it with the order of each sequence turned round between two of its parts."""
    sequences = dataset.sequences
    items = sequences.items.copy()
    for user, start in enumerate(sequences.offsets[:-1].tolist()):
        last = sequences.offsets[user + 1] if end is None else start + getattr(sequences, end)[user]
        place = slice(start + int(getattr(sequences, begin)[user]), int(last))
        items[place] = items[place][::-1]
    return replace(dataset, sequences=replace(sequences, items=items))


def calibrate(student: Student, dataset: Dataset, trust: float) -> None:
    """Calibrate as it trusts its taste so."""
    lists = dataset.whole("validation")
    student.trust.fill_(trust)
    student.calibration.copy_(torch.tensor([1.0, 0.0]))
    labels = lists.depth[:, None] > np.arange(3)
    student.calibration.copy_(
        torch.tensor(platt(*(a.astype(np.float64).ravel() for a in (probabilities(student, lists), labels))))
    )


def clicks(dataset: Dataset, folder: Path) -> Dataset:
    """Return it as if nothing was ever carted or bought."""
    for path in (path for split in ("train", "validation") for path in dataset.paths(split)):
        lists = Lists.load(path)
        replace(lists, depth=np.minimum(lists.depth, 1)).save(folder / path.name)
    return replace(dataset, folder=folder)


def test_the_same_seed_gives_the_same_weights(dataset: Dataset, fitted: Fitted) -> None:
    again, other = (fit(dataset, replace(RECIPE, seed=seed)) for seed in (RECIPE.seed, RECIPE.seed + 1))
    assert again.validation_ndcg == fitted.validation_ndcg
    weights = fitted.student.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in again.student.state_dict().items())
    assert not torch.equal(other.student.direct.weight, fitted.student.direct.weight)


def test_it_learns_more_than_an_untrained_one_knows(dataset: Dataset, fitted: Fitted) -> None:
    torch.manual_seed(0)
    assert ndcg(fitted.student, dataset.whole("validation")) > 0.1 + ndcg(Student(), dataset.whole("validation"))


def test_the_best_epoch_is_kept(dataset: Dataset, fitted: Fitted) -> None:
    assert fitted.validation_ndcg[fitted.best_epoch - 1] == max(fitted.validation_ndcg)
    student, best_epoch, history = fit_early(dataset, RECIPE)
    assert (best_epoch, history) == (fitted.best_epoch, fitted.validation_ndcg)
    assert ndcg(student, dataset.whole("validation")) == max(history)


LATER = replace(RECIPE, pretraining=replace(RECIPE.pretraining, epochs=12, batch_rows=8))
"""With which a taste learns something until the validation lists."""


def test_a_taste_that_knows_more_is_trusted_as_is_best_for_the_validation_lists(dataset: Dataset) -> None:
    fitted = fit(dataset, LATER)
    student, _, _ = fit_early(dataset, LATER)
    plan = LATER.pretraining
    later = replace(plan, epochs=plan.epochs // 3, places=plan.places // 3)
    before, early = student.calibration.clone(), student.taste.out.weight.clone()
    student.taste = pretrain(dataset.sequences, later, LATER.seed, part="late", base=student.taste)
    assert (student.taste.out.weight - early).abs().max() > 1e-3
    found = {}
    for trust in TRUSTS:
        student.trust.fill_(trust)
        found[trust] = ndcg(student, dataset.whole("validation"))
    assert len(set(found.values())) > 1
    assert fitted.student.trust.item() == max(found, key=lambda trust: found[trust])
    calibrate(student.eval(), dataset, trust=fitted.student.trust.item())
    assert torch.equal(fitted.student.calibration, student.calibration), "calibrated beside that taste"
    assert not torch.equal(fitted.student.calibration, before)


def test_trust_and_calibration_know_nothing_of_the_validation_lists_but_their_outcome(dataset: Dataset) -> None:
    """Neither changes with what was wanted since these began; they do with what was wanted before."""
    one = fit(dataset, LATER).student
    since, until = (fit(turned(dataset, *part), LATER).student for part in (("late", None), ("early", "late")))
    assert torch.equal(one.trust, since.trust)
    assert torch.equal(one.calibration, since.calibration)
    assert not torch.equal(one.calibration, until.calibration)


def test_who_learns_on_begins_with_the_trust_that_lists_are_learned_by(dataset: Dataset, fitted: Fitted) -> None:
    start = copy.deepcopy(fitted.student)
    start.trust.fill_(3.0)
    assert fit_early(dataset, RECIPE, start=start)[0].trust == 1.0


def test_the_lists_teach_beside_a_taste_that_hasnt_seen_them(dataset: Dataset, fitted: Fitted) -> None:
    """What is served knows the whole log: the lists change nothing in it."""
    whole = pretrain(dataset.sequences, RECIPE.pretraining, RECIPE.seed, part="whole").state_dict()
    served = fitted.student.taste.state_dict()
    assert all(torch.equal(served[name], weight) for name, weight in whole.items())
    blind = replace(dataset, sequences=replace(dataset.sequences, items=np.flip(dataset.sequences.items).copy()))
    other = fit(blind, RECIPE)
    assert other.validation_ndcg != fitted.validation_ndcg


@pytest.mark.parametrize("only_clicks", [False, True])
def test_probabilities_are_calibrated_on_the_validation_lists(
    dataset: Dataset, tmp_path: Path, only_clicks: bool
) -> None:
    """Heads without a label in the whole log have no say."""
    data = all_early(clicks(dataset, tmp_path) if only_clicks else dataset)
    lists, heads = data.whole("validation"), 1 if only_clicks else 3
    p = probabilities(fit(data, RECIPE).student, lists)[:, :heads]
    assert p.mean() == pytest.approx((lists.depth > 0).mean(), rel=0.01)  # over all heads: they share a slope


def test_without_deeper_labels_the_order_is_that_of_clicks(dataset: Dataset, tmp_path: Path) -> None:
    p = probabilities(fit(clicks(dataset, tmp_path), RECIPE).student, dataset.whole("validation"))
    assert np.all(np.diff(p, axis=1) <= 0)
    order = np.argsort(p[:, 0], kind="stable")
    assert np.all(np.diff(p[order, 2]) >= 0)


def test_items_and_users_never_seen_are_scored_by_their_features(dataset: Dataset, fitted: Fitted) -> None:
    lists = dataset.whole("validation")
    shift = np.where(lists.item_ids > 0, (lists.item_ids.astype(np.int64) + 4_000) % MAX_ID, 0).astype(np.int32)
    unknown = replace(lists, item_ids=shift, history_ids=np.zeros_like(lists.history_ids))
    assert np.isfinite(probabilities(fitted.student, unknown)).all()
    assert ndcg(fitted.student, unknown) > 0.8 * ndcg(fitted.student, lists)


@pytest.mark.parametrize("depth", [0, 3])
def test_labels_that_are_all_alike_are_refused(dataset: Dataset, tmp_path: Path, depth: int) -> None:
    lists = Lists.load(dataset.paths("train")[0])
    replace(lists, depth=np.full_like(lists.depth, depth)).save(tmp_path / "train-0000.parquet")
    with pytest.raises(Misuse, match="nothing to learn"):
        fit(replace(dataset, folder=tmp_path), RECIPE)


def test_no_training_lists_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="split `train` is empty"):
        fit(replace(dataset, folder=tmp_path), RECIPE)
