"""Group equal numbers of an array: like `np.unique` with its inverse, several times faster on short sorted runs."""

import numpy as np
from numpy.typing import NDArray


def group(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different `numbers` (N,), ascending (U,), and for each number its place among them (N,)."""
    order = np.argsort(numbers, kind="stable")
    ascending = numbers[order]
    first = np.ones(len(numbers), bool)
    np.not_equal(ascending[1:], ascending[:-1], out=first[1:])
    place = np.empty(len(numbers), np.int64)
    place[order] = np.cumsum(first) - 1
    return ascending[first], place
