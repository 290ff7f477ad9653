import numpy as np
import pytest

from streams.retrieval.grouping import group


@pytest.mark.parametrize("size", [0, 1, 2, 50, 1_000])
def test_it_is_unique_with_its_inverse(size: int) -> None:
    numbers = np.random.default_rng(size).integers(0, 40, size)
    different, place = group(numbers)
    wanted, inverse = np.unique(numbers, return_inverse=True)
    assert different.tolist() == wanted.tolist()
    assert place.tolist() == inverse.tolist()
