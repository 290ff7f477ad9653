"""Measures of probabilities agree with scikit-learn, and don't depend on the order of the cases."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from streams.evaluation.probability import BINS, auc, ece, log_loss, reliability


def drawn(seed: int, size: int = 1_000, digits: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and rather good probabilities; few `digits` make ties."""
    rng = np.random.default_rng(seed)
    p = np.round(rng.beta(1, 4, size), digits)
    return rng.random(size) < p**1.3, p


@pytest.mark.parametrize("digits", [12, 2, 1])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_auc_is_scikit_learns_also_with_ties(seed: int, digits: int) -> None:
    labels, p = drawn(seed, digits=digits)
    assert auc(labels, p) == pytest.approx(roc_auc_score(labels, p))


def test_auc_by_hand() -> None:
    assert auc(np.array([True, False, True, False]), np.array([0.9, 0.1, 0.4, 0.4])) == pytest.approx(3.5 / 4)


@pytest.mark.parametrize("label", [True, False])
def test_there_is_no_auc_of_labels_that_are_all_alike(label: bool) -> None:
    assert auc(np.full(5, label), np.linspace(0, 1, 5)) is None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_log_loss_is_scikit_learns(seed: int) -> None:
    labels, p = drawn(seed)
    assert log_loss(labels, p) == pytest.approx(sklearn_log_loss(labels, p))


def test_log_loss_of_certainty_is_finite_even_if_it_is_wrong() -> None:
    assert log_loss(np.array([True, False]), np.array([1.0, 0.0])) == pytest.approx(0.0, abs=1e-12)
    assert 30 < log_loss(np.array([True, False]), np.array([0.0, 1.0])) < 40


def test_reliability_is_scikit_learns_calibration_curve() -> None:
    labels, p = drawn(4)
    shares, means = calibration_curve(labels, p, n_bins=BINS, strategy="quantile")
    found = reliability(labels, p)
    assert [mean for mean, _, _ in found] == pytest.approx(means)
    assert [share for _, share, _ in found] == pytest.approx(shares)
    assert [size for _, _, size in found] == [100] * BINS


def test_ece_by_hand() -> None:
    p = np.repeat(np.arange(10) / 10, 2)  # each value is a bin of two
    labels = np.tile([True, False], 10)
    assert ece(labels, p) == pytest.approx(np.abs(np.arange(10) / 10 - 0.5).mean())


def test_equal_probabilities_share_a_bin_so_a_calibrated_constant_has_no_error() -> None:
    labels = np.repeat([True, False], 50)
    assert reliability(labels, np.full(100, 0.5)) == [(0.5, 0.5, 100)]
    assert ece(labels, np.full(100, 0.5)) == 0.0


@pytest.mark.parametrize("digits", [12, 1])
@pytest.mark.parametrize("size", [1, 7, 10, 103])
def test_bins_part_the_cases_whatever_their_order(size: int, digits: int) -> None:
    labels, p = drawn(5, size, digits)
    shuffled = np.random.default_rng(6).permutation(size)
    found = reliability(labels, p)
    assert sum(part for _, _, part in found) == size
    assert len(found) <= BINS
    assert [mean for mean, _, _ in found] == sorted(mean for mean, _, _ in found)
    assert sum(part * share for _, share, part in found) == pytest.approx(labels.sum())
    assert ece(labels[shuffled], p[shuffled]) == pytest.approx(ece(labels, p))
    assert log_loss(labels[shuffled], p[shuffled]) == pytest.approx(log_loss(labels, p))
    assert auc(labels[shuffled], p[shuffled]) == pytest.approx(auc(labels, p))
