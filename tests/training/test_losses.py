"""Losses and calibration equal their definitions."""

import doctest

import numpy as np
import pytest
import torch

import training.calibrate
import training.losses
from training.calibrate import platt
from training.losses import listwise, loss, pointwise, taught_listwise, taught_loss, taught_pointwise


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


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("taught", [taught_listwise, taught_pointwise])
def test_what_the_teacher_says_costs_nothing_and_anything_else_does(taught: object, temperature: float) -> None:
    logits, weight = 3.0 * torch.randn(4, 7, 3), torch.rand(4, 7)
    assert taught(logits, logits, weight, temperature).abs() < 1e-5  # type: ignore[operator]
    other = logits + torch.linspace(-1, 1, 7)[:, None]
    assert taught(other, logits, weight, temperature) > 1e-3  # type: ignore[operator]


@pytest.mark.parametrize("taught", [taught_listwise, taught_pointwise])
def test_padding_changes_no_lesson_and_a_sampled_candidate_weighs_as_many(taught: object) -> None:
    logits, said = torch.tensor([[[0.3], [-0.2], [2.0]]]), torch.tensor([[[1.0], [0.5], [-3.0]]])
    weight = torch.tensor([[1.0, 3.0, 0.0]])
    many = (logits[:, [0, 1, 1, 1]], said[:, [0, 1, 1, 1]], torch.ones(1, 4), 2.0)
    one = taught(logits, said, weight, 2.0)  # type: ignore[operator]
    torch.testing.assert_close(one, taught(*many))  # type: ignore[operator]


def test_a_teacher_that_is_sure_of_the_labels_teaches_what_they_do() -> None:
    """KL differs from cross-entropy by the entropy of the target, which is 0 where the teacher has no doubt."""
    logits, labels = torch.randn(5, 6, 1), torch.zeros(5, 6, 1)
    labels[:, 2] = 1.0
    weight = torch.ones(5, 6)
    taught = taught_loss(logits, 200.0 * labels - 100.0, weight, 0.5, 1.0)
    torch.testing.assert_close(taught, loss(logits, labels, weight, 0.5), atol=1e-4, rtol=1e-4)


def test_gradients_keep_their_scale_at_any_temperature() -> None:
    said, weight = 0.1 * torch.randn(8, 20, 1), torch.ones(8, 20)
    sizes = []
    for temperature in (1.0, 10.0):
        logits = torch.zeros(8, 20, 1, requires_grad=True)
        taught_loss(logits, said, weight, 0.5, temperature).backward()
        assert logits.grad is not None
        sizes.append(logits.grad.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_calibration_finds_the_slope_and_shift_that_made_the_labels() -> None:
    generator = np.random.default_rng(1)
    z = generator.normal(size=50_000)
    labels = generator.random(50_000) < 1 / (1 + np.exp(-(0.5 * z - 1.0)))
    slope, shift = platt(1 / (1 + np.exp(-z)), labels.astype(np.float64))
    assert (slope, shift) == (pytest.approx(0.5, abs=0.05), pytest.approx(-1.0, abs=0.05))


@pytest.mark.parametrize(("slope", "shift"), [(0.3, -1.2), (0.4, -1.5), (1.0, 0.0), (2.0, 1.0)])
@pytest.mark.parametrize(("mean", "deviation"), [(-6.0, 1.5), (-6.0, 4.0), (0.0, 3.0)])
def test_calibration_finds_them_however_sure_the_scores_are(
    slope: float, shift: float, mean: float, deviation: float
) -> None:
    """From one and zero, and without halving, Newton's steps grow beyond all bounds for the sure ones."""
    generator = np.random.default_rng(2)
    z = generator.normal(mean, deviation, 200_000).clip(-15, 15)
    labels = generator.random(len(z)) < 1 / (1 + np.exp(-(slope * z + shift)))
    found = platt(1 / (1 + np.exp(-z)), labels.astype(np.float64))
    assert found == (pytest.approx(slope, abs=0.1), pytest.approx(shift, abs=0.4))


def test_an_order_that_says_nothing_keeps_the_share_of_labels() -> None:
    generator = np.random.default_rng(3)
    z = generator.normal(size=50_000)
    labels = generator.random(50_000) < 1 / (1 + np.exp(0.5 * z + 2.0))  # the other way round
    slope, shift = platt(1 / (1 + np.exp(-z)), labels.astype(np.float64))
    assert slope == training.calibrate.MIN_SLOPE
    assert (1 / (1 + np.exp(-(slope * z + shift)))).mean() == pytest.approx(labels.mean(), rel=1e-3)
