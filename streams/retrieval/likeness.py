"""How alike the texts of items are, by their semantic codes, and what an item without behaviour has from those like it.

Two items that share the first n numbers of their codes are alike by LIKENESS[n]. A candidate that nobody has touched
yet borrows its co-visitation from candidates like it, the mean of theirs weighted by likeness: label propagation in
text space (Zhu and Ghahramani, "Learning from labeled and unlabeled data with label propagation", 2002).
"""

import numpy as np
from numpy.typing import NDArray

from inference.tensors import CODE_LEVELS
from streams.compiled import compiled

LIKENESS = np.array([0.0, 0.1, 0.4, 1.0])
"""By how many numbers, from the first on, two codes share."""


@compiled
def shared(one: NDArray[np.int32], other: NDArray[np.int32]) -> int:
    """Return how many numbers of two codes (C,) are the same, from the first on; none of what is unknown."""
    for level in range(CODE_LEVELS):
        if one[level] == 0 or one[level] != other[level]:
            return level
    return CODE_LEVELS


@compiled
def borrow(
    codes: NDArray[np.int32], log_popular: NDArray[np.float64], pairs: NDArray[np.float64], counts: NDArray[np.float32]
) -> None:
    """Give candidates (K,) that have a code and no behaviour the `pairs` and `counts` (K, ...) of those like them.

    `log_popular` is 0 where there is no behaviour.
    """
    for k in range(len(codes)):
        if log_popular[k] > 0.0 or codes[k, 0] == 0:
            continue
        total = 0.0
        for other in range(len(codes)):
            if log_popular[other] > 0.0:
                total += LIKENESS[shared(codes[k], codes[other])]
        for other in range(len(codes)):
            if total > 0.0 and log_popular[other] > 0.0:
                share = LIKENESS[shared(codes[k], codes[other])] / total
                if share > 0.0:
                    pairs[k] += share * pairs[other]
                    counts[k] += np.float32(share) * counts[other]
