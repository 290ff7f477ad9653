"""Sets the student's probabilities right after training: dropout, sampling and the listwise loss bend them.

Platt's scaling ("Probabilistic outputs for support vector machines", 1999): p = s(a z + b), with a and b from the
validation lists, by Newton's method. One a > 0 and b for all heads, so neither the order of candidates nor that of the
heads changes.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from training.student import Student

STEPS = 25
MIN_SLOPE = 0.1
_RIDGE = 1e-6
_EDGE = 1e-7


def platt(p: NDArray[np.float64], labels: NDArray[np.float64]) -> tuple[float, float]:
    """Return a and b that maximise the likelihood of the labels (R,), 0 or 1, given p (R,).

    >>> a, b = platt(np.array([0.5, 0.5, 0.5, 0.5]), np.array([1.0, 0.0, 0.0, 0.0]))
    >>> round(float(1 / (1 + np.exp(-b))), 3)
    0.25
    """
    x, level = _logit(p), _logit(labels.mean())
    slope, shift = _newton(np.stack((x, np.ones(len(x)))), labels, np.array([0.0, level]), np.zeros(len(x)))
    if slope < MIN_SLOPE:
        slope, (shift,) = MIN_SLOPE, _newton(np.ones((1, len(x))), labels, np.array([level]), MIN_SLOPE * x)
    return float(slope), float(shift)


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.clip(p, _EDGE, 1 - _EDGE)
    logit: NDArray[np.float64] = np.log(p / (1 - p))
    return logit


def _newton(
    x: NDArray[np.float64], labels: NDArray[np.float64], weights: NDArray[np.float64], offset: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weights (D,) of x (D, R) that maximise the likelihood; a step that lowers it is halved."""
    z = weights @ x + offset
    for _ in range(STEPS):
        now = 0.5 * (1 + np.tanh(0.5 * z))
        curvature = (x * now * (1 - now)) @ x.T + _RIDGE * np.eye(len(x))
        step = np.linalg.solve(curvature, x @ (labels - now))
        if np.abs(step).max() < _EDGE:
            break
        before = _likelihood(z, labels)
        while _likelihood(z + step @ x, labels) < before and np.abs(step).max() > _EDGE:
            step = step / 2
        weights, z = weights + step, z + step @ x
    return weights


def _likelihood(z: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    return float(labels @ z - np.logaddexp(0, z).sum())


def calibrate(student: Student, p: NDArray[np.float32], labels: NDArray[np.bool_]) -> None:
    """Set the student's slope and shift by what it said of validation candidates, p and labels (R, H)."""
    slope, shift = platt(p.astype(np.float64).ravel(), labels.astype(np.float64).ravel())
    student.calibration.copy_(torch.tensor([slope, shift]))
