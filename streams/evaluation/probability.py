"""How good probabilities are where there are labels. Pure.

auc       share of (positive, negative) pairs in the right order, ties half          (Hanley and McNeil, 1982)
log_loss  -mean of y*log(p) + (1-y)*log(1-p)
ece       sum over bins of share * |mean p - mean y|, bins of about equal size       (Naeini et al., AAAI 2015)

Equal p are never parted, so no measure depends on the order of the cases.
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
BINS = 10
_TINY = 1e-15


def auc(labels: NDArray[np.bool_], p: Values) -> float | None:
    """Return the area under the curve of N labels and probabilities; None if all labels are the same."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    _, where, sizes = np.unique(p, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2.0)[where]
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(labels: NDArray[np.bool_], p: Values) -> float:
    """Return the mean negative log-likelihood in nats."""
    p = np.clip(p, _TINY, 1 - _TINY)
    return float(-np.mean(np.where(labels, np.log(p), np.log1p(-p))))


def reliability(labels: NDArray[np.bool_], p: Values) -> list[tuple[float, float, int]]:
    """Return of each of at most BINS parts, by rising p: mean p, share of positives, size."""
    _, where, sizes = np.unique(p, return_inverse=True, return_counts=True)
    middles = np.cumsum(sizes) - sizes / 2.0
    bins = (BINS * middles / max(len(p), 1)).astype(np.int64)[where]
    parts = [bins == number for number in np.unique(bins)]
    return [(float(p[part].mean()), float(labels[part].mean()), int(part.sum())) for part in parts]


def ece(labels: NDArray[np.bool_], p: Values) -> float:
    """Return the expected calibration error."""
    return sum(size * abs(mean - share) for mean, share, size in reliability(labels, p)) / len(p)
