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
    p = np.clip(p, _EDGE, 1 - _EDGE)
    x = np.stack((np.log(p / (1 - p)), np.ones(len(p))))  # (2, R)
    weights = np.array([1.0, 0.0])
    for _ in range(STEPS):
        now = 1 / (1 + np.exp(-weights @ x))
        gradient = x @ (labels - now)
        curvature = (x * now * (1 - now)) @ x.T + _RIDGE * np.eye(2)
        weights = weights + np.linalg.solve(curvature, gradient)
    return max(MIN_SLOPE, float(weights[0])), float(weights[1])


def calibrate(student: Student, p: NDArray[np.float32], labels: NDArray[np.bool_]) -> None:
    """Set the student's slope and shift by what it said of validation candidates, p and labels (R, H)."""
    slope, shift = platt(p.astype(np.float64).ravel(), labels.astype(np.float64).ravel())
    student.calibration.copy_(torch.tensor([slope, shift]))
