"""What a ranker is: tensors of B requests in, a probability per candidate and head out.

`Ranker` is a plug-in point. `TritonRanker` speaks to a server, `OnnxRanker` runs the same file in this
process; both are given `RankerInputs` and answer `Ranked`, or raise `RankerUnavailable`, whereupon the
worker serves a simpler ranker and says so in the slate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.tensors import HEADS, RANKER_INPUTS, Tensor
from streams.errors import RankerUnavailable


@dataclass(frozen=True, slots=True)
class RankerInputs:
    """A batch for the ranker, as `inference.tensors.RANKER_INPUTS` declares it; padding is 0.

    Raises ValueError when an array does not fit its declaration: that is a bug of the caller, not a fault.
    """

    features: NDArray[np.float32]  # (B, K, F)
    pairs: NDArray[np.float32]  # (B, K, 2 * SEEDS)
    seeds: NDArray[np.float32]  # (B, SEEDS)
    item_ids: NDArray[np.int32]  # (B, K)
    history_ids: NDArray[np.int32]  # (B, T)
    item_codes: NDArray[np.int32]  # (B, K, C)
    history_codes: NDArray[np.int32]  # (B, T, C)

    def __post_init__(self) -> None:
        for tensor, array in self.tensors():
            if array.dtype != tensor.numpy or not tensor.fits(array.shape):
                got = f"{array.dtype}{list(array.shape)}"
                raise ValueError(f"{tensor.name}: got {got}, not {tensor.dtype}{list(tensor.shape)}")
        if len({len(array) for _, array in self.tensors()}) > 1 or (
            not self.item_ids.shape == self.features.shape[:2] == self.pairs.shape[:2] == self.item_codes.shape[:2]
        ):
            raise ValueError("the tensors disagree about B or K")

    def tensors(self) -> Iterator[tuple[Tensor, NDArray[np.float32] | NDArray[np.int32]]]:
        """Yield each declared tensor with its array."""
        for tensor in RANKER_INPUTS:
            yield tensor, getattr(self, tensor.name)

    @classmethod
    def zeros(cls, batch: int, candidates: int) -> "RankerInputs":
        """Return B requests of K candidates, all padding, to be filled."""
        sizes = {"B": batch, "K": candidates}
        shapes = {tensor: [sizes[n] if isinstance(n, str) else n for n in tensor.shape] for tensor in RANKER_INPUTS}
        return cls(**{tensor.name: np.zeros(shape, tensor.numpy) for tensor, shape in shapes.items()})

    def first(self, candidates: int) -> "RankerInputs":
        """Return the batch with its first `candidates` candidates only."""
        arrays = {t.name: array[:, :candidates] if "K" in t.shape else array for t, array in self.tensors()}
        return RankerInputs(**arrays)  # type: ignore[arg-type]

    def __len__(self) -> int:
        """The number of requests, B."""
        return len(self.features)

    def chunks(self, size: int) -> Iterator["RankerInputs"]:
        """Yield the batch in order, `size` requests at a time."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield RankerInputs(*(array[rows] for _, array in self.tensors()))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Probabilities in [0, 1] per request, candidate and head, and who gave them ("ranker/7")."""

    p: NDArray[np.float32]  # (B, K, H)
    model: str


class Ranker(Protocol):
    """Scores candidates. Equal rows get equal scores, whatever else is in the batch."""

    async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
        """Score the batch within `timeout_s`, or raise `RankerUnavailable` with one sentence."""
        ...


def checked(p: NDArray[np.float32] | None, inputs: RankerInputs, model: str) -> NDArray[np.float32]:
    """Return `p` (B, K, H) if its shape fits and it is finite; else raise `RankerUnavailable`."""
    expected = (*inputs.item_ids.shape, len(HEADS))
    if p is None or p.shape != expected or p.dtype != np.float32:
        got = "nothing" if p is None else f"{p.dtype}{list(p.shape)}"
        raise RankerUnavailable(f"{model} answered {got}, not float32{list(expected)}")
    if not np.isfinite(p).all():
        raise RankerUnavailable(f"{model} answered values that are not finite")
    return p
