import numpy as np
import pytest

from streams.ordering import best, best_first


@pytest.mark.parametrize("size", [0, 1, 2, 7, 300])
@pytest.mark.parametrize("limit", [1, 5, 200, 1_000])
def test_the_best_are_those_of_a_full_sort(size: int, limit: int) -> None:
    drawn = np.random.default_rng(size)
    scores, digests = drawn.integers(0, 9, size) / 8, drawn.permutation(size).astype(np.uint64)
    wanted = np.lexsort((digests, -scores))[:limit].tolist()
    assert best_first(scores, digests, limit).tolist() == wanted
    assert sorted(best(scores, digests, limit).tolist()) == sorted(wanted)
