"""What a student is taught by: anything that judges lists, and may take its time. Lists in, logits out.

An ensemble is a weighted sum, z_h = sum_m w_m z_mh + b_h, with weights fitted on lists that no member learned from; so
what adds nothing gets next to no weight, whatever it is (Wolpert, "Stacked generalization", 1992).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.tensors import HEADS
from streams.errors import Misuse
from streams.slate.select import HEAD_WORTH
from training.dataset import Dataset
from training.fit import probabilities, ranked_ndcg
from training.lists import Lists
from training.losses import loss
from training.recipe import Fit
from training.student import Student

_STEPS = 200
_RIDGE = 1e-4
"""Keeps two members that say the same from sharing a weight at random."""
_LEAST, _MOST = np.float32(1e-12), np.float32(1 - 1e-6)
"""Up to where a student's probabilities are told apart: heads without labels say very little."""
_WORTH = np.array([HEAD_WORTH[head] for head in HEADS]) / sum(HEAD_WORTH.values())


class Teacher(Protocol):
    """A judge of lists."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def logits(self, lists: Lists) -> NDArray[np.float32]:
        """Return the log-odds of each head for each candidate, (R, H), all finite; the same lists give the same."""
        ...


class StudentTeacher:
    """A student as a judge, so that an ensemble has what features and counts know."""

    name = "student"

    def __init__(self, student: Student) -> None:
        self._student = student

    def logits(self, lists: Lists) -> NDArray[np.float32]:
        """Return the log-odds of the student's probabilities, (R, H)."""
        p = probabilities(self._student, lists).clip(_LEAST, _MOST)
        z: NDArray[np.float32] = np.log(p) - np.log1p(-p)
        return z


def score(teacher: Teacher, dataset: Dataset, split: str) -> NDArray[np.float32]:
    """Return a teacher's logits for all candidates of a split, in the order of its shards, (R, H).

    Raises:
        Misuse: the split is empty.
    """
    return np.concatenate([teacher.logits(Lists.load(path)) for path in dataset.paths(split)])


def judged(logits: NDArray[np.float32], lists: Lists) -> float:
    """Return the mean NDCG over users of lists in the order of logits (R, H)."""
    p = 1 / (1 + np.exp(-logits.astype(np.float64).clip(-60, 60)))
    return ranked_ndcg(p @ _WORTH, lists)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A weighted sum of members, itself a teacher; `weights` (M,), `shifts` (H,)."""

    members: tuple[Teacher, ...]
    weights: NDArray[np.float32]
    shifts: NDArray[np.float32]
    name: str = "ensemble"

    def logits(self, lists: Lists) -> NDArray[np.float32]:
        """Return the weighted sum."""
        return self.combined([member.logits(lists) for member in self.members])

    def combined(self, said: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the weighted sum of what each member said of the same lists."""
        total: NDArray[np.float32] = np.einsum("m,mrh->rh", self.weights, np.stack(said)) + self.shifts
        return total


def fit_ensemble(
    members: Sequence[Teacher],
    said: Sequence[NDArray[np.float32]],
    lists: Lists,
    chosen: NDArray[np.int64] | None = None,
) -> Ensemble:
    """Fit weights by what each member said of lists (R, H); `chosen` are those to fit on, all by default.

    The loss is the student's: listwise for the order, pointwise for the level. A head without labels takes the shift
    of the deepest that has some.

    Raises:
        Misuse: there is no list, or no candidate of one was wanted, or all were.
    """
    at, real = _padded(lists, np.arange(len(lists)) if chosen is None else chosen)
    depth = np.where(real, lists.depth[at], 0) if at.size else np.zeros((0, 1), np.uint8)
    if not 0 < np.count_nonzero(depth) < np.count_nonzero(real):
        raise Misuse("nothing to fit an ensemble on: of the candidates none was wanted, or all were")
    heads = int(depth.max())
    labels = torch.from_numpy(depth[..., None] > np.arange(heads)).double()  # (B, K, H)
    weight = torch.from_numpy(np.where(real, lists.weight[at], 0)).double()
    z = torch.from_numpy(np.stack([one[at, :heads] for one in said], axis=-1)).double()  # (B, K, H, M)
    weights, shifts = _solved(z, labels, weight)
    shifts = np.concatenate((shifts, np.repeat(shifts[-1], len(HEADS) - heads)))
    return Ensemble(tuple(members), weights.astype(np.float32), shifts.astype(np.float32))


def _solved(z: Tensor, labels: Tensor, weight: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights and shifts; both losses are convex in them, so there is one answer."""
    members, heads = z.shape[3], z.shape[2]
    solution = torch.zeros(members + heads, dtype=torch.float64)
    solution[:members] = 1 / members
    solution.requires_grad_()
    optimizer = torch.optim.LBFGS([solution], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = (
            loss(z @ solution[:members] + solution[members:], labels, weight, Fit().listwise)
            + _RIDGE * solution.square().sum()
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    found = solution.detach().numpy()
    return found[:members], found[members:]


def _padded(lists: Lists, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where the candidates of the chosen lists are, (B, K), and which of these places are candidates."""
    starts, sizes = lists.offsets[chosen], np.diff(lists.offsets)[chosen]
    places = np.arange(max(1, int(sizes.max(initial=0))))
    real = places < sizes[:, None]
    return np.where(real, starts[:, None] + places, 0), real
