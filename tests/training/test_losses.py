"""Losses and calibration equal their definitions."""

import doctest

import numpy as np
import pytest
import torch

import training.calibrate
import training.losses
from training.calibrate import platt
from training.losses import listwise, pointwise


@pytest.mark.parametrize("module", [training.calibrate, training.losses])
def test_examples_in_docstrings_run(module: object) -> None:
    result = doctest.testmod(module, extraglobs={"torch": torch, "np": np})  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("loss", [listwise, pointwise])
def test_padding_changes_no_loss(loss: object) -> None:
    logits, labels = torch.randn(1, 3, 3), torch.tensor([[[1.0], [0.0], [0.0]]]).expand(1, 3, 3)
    weight = torch.tensor([[1.0, 1.0, 0.0]])
    shorter = loss(logits[:, :2], labels[:, :2], weight[:, :2])  # type: ignore[operator]
    torch.testing.assert_close(loss(logits, labels, weight), shorter)  # type: ignore[operator]


@pytest.mark.parametrize("loss", [listwise, pointwise])
def test_a_negative_that_stands_for_three_weighs_as_three(loss: object) -> None:
    logits, labels = torch.tensor([[[0.3], [-0.2]]]), torch.tensor([[[1.0], [0.0]]])
    one = loss(logits, labels, torch.tensor([[1.0, 3.0]]))  # type: ignore[operator]
    many = logits[:, [0, 1, 1, 1]], labels[:, [0, 1, 1, 1]], torch.ones(1, 4)
    torch.testing.assert_close(one, loss(*many))  # type: ignore[operator]


def test_calibration_finds_the_slope_and_shift_that_made_the_labels() -> None:
    generator = np.random.default_rng(1)
    z = generator.normal(size=50_000)
    labels = generator.random(50_000) < 1 / (1 + np.exp(-(0.5 * z - 1.0)))
    slope, shift = platt(1 / (1 + np.exp(-z)), labels.astype(np.float64))
    assert (slope, shift) == (pytest.approx(0.5, abs=0.05), pytest.approx(-1.0, abs=0.05))
