"""Semantic codes: like texts share them, every level says more, and the same texts give the same codebooks."""

import numpy as np
import pytest
import torch

from inference.tensors import CODE_LEVELS, CODES
from streams.errors import Misuse
from training.codes import Quantiser, learn_codebooks

WIDTH = 16


def vectors(count: int, groups: int = 40, seed: int = 1) -> np.ndarray:
    """Return unit vectors around so many centres, one after the other."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(groups, WIDTH))
    drawn = centres[np.arange(count) % groups] + 0.15 * generator.normal(size=(count, WIDTH))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def codes(codebooks: np.ndarray, given: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return Quantiser(codebooks)(torch.from_numpy(given)).numpy()


def test_codes_are_numbers_of_the_contract() -> None:
    found = codes(learn_codebooks(vectors(2_000), 1), vectors(500, seed=2))
    assert found.shape == (500, CODE_LEVELS)
    assert found.dtype == np.int32
    assert found.min() >= 1
    assert found.max() <= CODES


def test_each_level_leaves_less_over() -> None:
    given = vectors(3_000)
    codebooks = learn_codebooks(given, 1)
    found, left = codes(codebooks, given), given
    errors = [1.0]
    for level in range(CODE_LEVELS):
        left = left - codebooks[level][found[:, level] - 1]
        errors.append(float(np.square(left).sum(axis=1).mean()))
    assert np.all(np.diff(errors) < 0)
    assert errors[1] < 0.25


def test_like_texts_share_their_first_number_more_often_than_others() -> None:
    given = vectors(4_000)
    first = codes(learn_codebooks(given, 1), given)[:, 0]
    groups = np.arange(len(given)) % 40
    same = first[:, None] == first[None, :]
    alike = groups[:, None] == groups[None, :]
    assert same[alike].mean() > 20 * same[~alike].mean()


def test_the_same_vectors_in_any_order_and_number_give_the_same_codebooks() -> None:
    given = vectors(1_000)
    shuffled = np.random.default_rng(3).permutation(np.concatenate((given, given[:300])))
    assert np.array_equal(learn_codebooks(given, 1), learn_codebooks(shuffled, 1))
    assert not np.array_equal(learn_codebooks(given, 1), learn_codebooks(given, 2))


@pytest.mark.parametrize("count", [1, 2, CODES - 1, CODES, CODES + 1])
def test_few_different_texts_are_told_apart(count: int) -> None:
    given = np.repeat(vectors(count, groups=count), 2, axis=0)
    found = codes(learn_codebooks(given, 1), given)
    assert len(np.unique(found, axis=0)) == count
    assert np.array_equal(found[::2], found[1::2])


@pytest.mark.parametrize("given", [np.empty((0, WIDTH), np.float32), np.full((3, WIDTH), np.nan, np.float32)])
def test_nothing_to_learn_from_is_one_sentence(given: np.ndarray) -> None:
    with pytest.raises(Misuse, match="no text vectors"):
        learn_codebooks(given, 1)
