"""A fit that was cut off goes on to the same weights, to the bit; of another recipe, or no number, it is a sentence."""

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import training.fit
from streams.errors import BadModel, CannotWrite, Diverged
from tests.training.conftest import RECIPE
from training.checkpoints import CHECKPOINT_FILE, Checkpoint
from training.dataset import Dataset
from training.fit import Fitted, fit
from training.lists import Lists
from training.phases import Watch
from training.student import Student

QUICK = replace(RECIPE, fit=replace(RECIPE.fit, epochs=3))


class CutOff(Exception):
    """The power failed."""


@pytest.fixture(scope="module")
def whole(dataset: Dataset) -> Fitted:
    return fit(dataset, QUICK)


def cut_off(dataset: Dataset, folder: Path, line: int) -> None:
    """Fit until so many lines were told."""
    told: list[str] = []

    def tell(said: str) -> None:
        told.append(said)
        if len(told) == line:
            raise CutOff

    with pytest.raises(CutOff):
        fit(dataset, QUICK, Watch(tell, folder=folder))


def same(one: Fitted, other: Fitted) -> bool:
    weights = one.student.state_dict()
    return (one.best_epoch, one.validation_ndcg) == (other.best_epoch, other.validation_ndcg) and all(
        torch.equal(weight, weights[name]) for name, weight in other.student.state_dict().items()
    )


# Two epochs of early sequences, one line before the lists, three epochs of lists, one of late sequences, the trust,
# two epochs of all sequences.
@pytest.mark.parametrize("line", [1, 2, 3, 4, 6, 7, 8, 9])
def test_cut_off_after_an_epoch_of_any_phase(dataset: Dataset, whole: Fitted, tmp_path: Path, line: int) -> None:
    cut_off(dataset, tmp_path / "fit", line)
    assert same(fit(dataset, QUICK, Watch(folder=tmp_path / "fit")), whole)
    assert not (tmp_path / "fit").exists()


def test_cut_off_twice_in_the_middle_of_an_epoch(
    dataset: Dataset, whole: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, left = training.fit._step, 0  # noqa: SLF001

    def stop(*arguments: Any) -> float:
        nonlocal left
        left -= 1
        if left < 0:
            raise CutOff
        return step(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(training.fit, "_step", stop)
        for steps in (25, 10):
            left = steps
            with pytest.raises(CutOff):
                fit(dataset, QUICK, Watch(folder=tmp_path))
    state = Checkpoint.load(tmp_path / "lists")
    assert state is not None
    assert state.epoch == 1
    assert same(fit(dataset, QUICK, Watch(folder=tmp_path)), whole)


def test_another_recipe_other_data_and_another_shape_are_named(dataset: Dataset, tmp_path: Path) -> None:
    cut_off(dataset, tmp_path, 4)
    other = replace(QUICK, fit=replace(QUICK.fit, learning_rate=0.1))
    with pytest.raises(BadModel, match=r"checkpoint\.pt: fit\.learning_rate was 0\.005, and is 0\.1: put it "):
        fit(dataset, other, Watch(folder=tmp_path))
    with pytest.raises(BadModel, match=r"data was .*, and is another"):
        fit(replace(dataset, meta=dataset.meta | {"key": "another"}), QUICK, Watch(folder=tmp_path))
    state = Checkpoint.load(tmp_path / "lists")
    assert state is not None
    state.weights["mean"] = state.weights["mean"][1:]
    state.save(tmp_path / "lists")
    with pytest.raises(BadModel, match="is of another shape: mean is "):
        fit(dataset, QUICK, Watch(folder=tmp_path))
    del state.weights["trust"]
    state.weights["mean"] = Student().mean
    state.save(tmp_path / "lists")
    with pytest.raises(BadModel, match="trust is missing, not a number"):
        fit(dataset, QUICK, Watch(folder=tmp_path))
    state.weights |= {"trust": Student().trust, "extra": torch.tensor(1.0)}
    state.save(tmp_path / "lists")
    with pytest.raises(BadModel, match="extra is a number, not missing"):
        fit(dataset, QUICK, Watch(folder=tmp_path))
    (tmp_path / "lists" / CHECKPOINT_FILE).write_bytes(b"half")
    with pytest.raises(BadModel, match="no checkpoint: remove it to begin anew"):
        fit(dataset, QUICK, Watch(folder=tmp_path))


def test_a_full_disk_leaves_the_checkpoint_before(
    dataset: Dataset, whole: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(dataset, tmp_path, 4)

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("training.staged.os.fsync", full)
        with pytest.raises(CannotWrite, match="No space left on device"):
            fit(dataset, QUICK, Watch(folder=tmp_path))
    assert same(fit(dataset, QUICK, Watch(folder=tmp_path)), whole)


def test_a_loss_that_is_no_number_is_one_sentence(dataset: Dataset, tmp_path: Path) -> None:
    lists = dataset.whole("train")
    features = lists.features.copy()
    features[len(features) // 2] = np.nan
    replace(lists, features=features).save(tmp_path / "train-0000.parquet")
    Lists.load(dataset.paths("validation")[0]).save(tmp_path / "validation-0000.parquet")
    with pytest.raises(Diverged, match=r"^epoch 1: the loss is nan: lower the learning rate, or look for values"):
        fit(replace(dataset, folder=tmp_path), QUICK)


def test_every_epoch_is_told_as_scalars(dataset: Dataset, whole: Fitted) -> None:
    told: list[tuple[str, float, int]] = []
    fit(dataset, QUICK, Watch(scalars=lambda *scalar: told.append(scalar)))
    ndcg = [value for name, value, _ in told if name == "lists/validation_ndcg@10"]
    assert tuple(ndcg) == whole.validation_ndcg
    assert {name for name, _, _ in told} == {
        "sequences_early/loss", "sequences_late/loss", "sequences_whole/loss", "lists/loss", "lists/validation_ndcg@10",
    }  # fmt: skip
    assert [epoch for name, _, epoch in told if name == "lists/loss"] == list(range(1, len(ndcg) + 1))
