"""The lists that are compared: the student's, the blend's, each single source's, and the user's own favourites."""

import numpy as np
from numpy.typing import NDArray

from streams.slate.select import worth
from training.lists import TOP, Lists

STUDENT, BLEND = "student", "blend"
Tops = NDArray[np.int32]
"""Catalogue indices of the best items of N lists, (N, TOP), -1 where there are none."""


def top_by(lists: Lists, p: NDArray[np.float32]) -> Tops:
    """Return the best by expected worth, as slates are made, from p (R, H); ties as the blend has them."""
    score = worth(p)
    top = np.full((len(lists), TOP), -1, np.int32)
    for row, start, end in zip(top, lists.offsets[:-1].tolist(), lists.offsets[1:].tolist(), strict=True):
        best = start + np.argsort(-score[start:end], kind="stable")[:TOP]
        row[: len(best)] = lists.items[best]
    return top


def top_of_blend(lists: Lists) -> Tops:
    """Return the head of the lists as retrieval blended them."""
    places = lists.offsets[:-1, None] + np.arange(TOP)
    real = places < lists.offsets[1:, None]
    return np.where(real, lists.items[np.where(real, places, 0)], -1)


def relevance(
    lists: Lists, top: Tops, counted: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return whether each item of the top lists was bought, (N, TOP), and how many different items were, (N,).

    `counted` tells by catalogue index which items count as targets at all.
    """
    keep = np.ones(len(lists.targets), bool) if counted is None else counted[lists.targets]
    of_list = np.repeat(np.arange(len(lists)), np.diff(lists.target_offsets))
    wanted = _keys(of_list[keep], lists.targets[keep])
    relevant = np.isin(_keys(np.arange(len(lists))[:, None], top), wanted) & (top >= 0)
    return relevant, np.bincount(of_list[keep], minlength=len(lists))


def covered(lists: Lists, counted: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Return how many targets of each list are among its candidates, (N,): the ceiling of any ranker."""
    hit = lists.depth == lists.depth.max(initial=1)
    if counted is not None:
        hit &= counted[lists.items]
    of_list = np.repeat(np.arange(len(lists)), np.diff(lists.offsets))
    return np.bincount(of_list[hit], minlength=len(lists))


def _keys(of_list: NDArray[np.int64], items: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return one number for each pair of a list and an item."""
    keys: NDArray[np.int64] = of_list.astype(np.int64) << 32 | items.astype(np.int64) & 0xFFFFFFFF
    return keys
