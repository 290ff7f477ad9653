"""What a ranker learns from: lists of candidates as the server would have scored them, with what came of each.

Shards are .npz files of a few thousand lists, read one at a time. Shape letters as everywhere, and N lists, R
candidates of all lists together, G targets of all lists together, S sources.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.tensors import FEATURES, HEADS
from streams.errors import Misuse

TOP = 10
"""Length of the lists that are compared, and kept of every single source."""


@dataclass(frozen=True, slots=True)
class Lists:
    """N lists, ragged: list n has the candidates offsets[n]:offsets[n + 1], best first by the blend.

    `depth` is 0 for a candidate that nothing happened to (`visits.DEPTHS`). `weight` is how many candidates one stands
    for: negatives are sampled, so that sums over candidates stay unbiased if they are weighted. `items`, `targets` and
    `tops` are catalogue indices of this walk through the log (-1: none); `targets` are all items bought in the visit,
    found or not; `tops` is the head of each single source's list. `times` are the visits' starts in ms.
    """

    features: NDArray[np.float32]  # (R, F)
    item_ids: NDArray[np.int32]  # (R,)
    items: NDArray[np.int32]  # (R,)
    depth: NDArray[np.uint8]  # (R,)
    weight: NDArray[np.float32]  # (R,)
    offsets: NDArray[np.int64]  # (N + 1,)
    history_ids: NDArray[np.int32]  # (N, T)
    users: NDArray[np.int32]  # (N,)
    times: NDArray[np.int64]  # (N,)
    targets: NDArray[np.int32]  # (G,)
    target_offsets: NDArray[np.int64]  # (N + 1,)
    tops: NDArray[np.int32]  # (N, S, TOP)

    def __len__(self) -> int:
        """The number of lists, N."""
        return len(self.users)

    def chosen(self, lists: NDArray[np.int64]) -> "Lists":
        """Return some of the lists, by number."""
        rows, sizes = _ragged(self.offsets, lists)
        targets, target_sizes = _ragged(self.target_offsets, lists)
        by_row = {name: getattr(self, name)[rows] for name in ("features", "item_ids", "items", "depth", "weight")}
        by_list = {name: getattr(self, name)[lists] for name in ("history_ids", "users", "times", "tops")}
        return Lists(
            **by_row,
            **by_list,
            offsets=_offsets(sizes),
            targets=self.targets[targets],
            target_offsets=_offsets(target_sizes),
        )

    def save(self, path: Path) -> None:
        """Write a shard."""
        np.savez(path, **{one.name: getattr(self, one.name) for one in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "Lists":
        """Read a shard.

        Raises:
            Misuse: it is missing, no shard, or was made with other features.
        """
        try:
            with np.load(path) as arrays:
                lists = cls(**{one.name: arrays[one.name] for one in fields(cls)})
        except (OSError, KeyError, ValueError) as exc:
            raise Misuse(f"{path}: cannot read the shard: {exc}") from exc
        if lists.features.shape[1:] != (len(FEATURES),):
            raise Misuse(f"{path}: was made with {lists.features.shape[1]} features, not {len(FEATURES)}")
        return lists


@dataclass(frozen=True, slots=True)
class Batch:
    """B lists, padded to the longest: what the network reads, labels (B, K, H), and weights (B, K), 0 for padding."""

    features: NDArray[np.float32]  # (B, K, F)
    item_ids: NDArray[np.int32]  # (B, K)
    history_ids: NDArray[np.int32]  # (B, T)
    labels: NDArray[np.float32]  # (B, K, H)
    weight: NDArray[np.float32]  # (B, K)


def batch(lists: Lists, chosen: NDArray[np.int64]) -> Batch:
    """Return the chosen lists (B,) as one batch."""
    starts, sizes = lists.offsets[chosen], np.diff(lists.offsets)[chosen]
    places = np.arange(max(1, int(sizes.max(initial=0))))
    real = places < sizes[:, None]  # (B, K)
    at = np.where(real, starts[:, None] + places, 0)
    depth = np.where(real, lists.depth[at], 0)
    return Batch(
        features=np.where(real[..., None], lists.features[at], np.float32(0)),
        item_ids=np.where(real, lists.item_ids[at], 0).astype(np.int32),
        history_ids=lists.history_ids[chosen],
        labels=(depth[..., None] > np.arange(len(HEADS))).astype(np.float32),
        weight=np.where(real, lists.weight[at], np.float32(0)),
    )


def batches(lists: Lists, size: int, generator: np.random.Generator | None = None) -> Iterator[Batch]:
    """Yield all lists, `size` at a time, in an order drawn from the generator, or as they are."""
    order = np.arange(len(lists)) if generator is None else generator.permutation(len(lists))
    for start in range(0, len(order), size):
        yield batch(lists, order[start : start + size])


def joined(shards: list[Lists]) -> Lists:
    """Return several shards as one."""
    if not shards:
        raise Misuse("there are no lists to learn from")
    whole = {one.name: np.concatenate([getattr(s, one.name) for s in shards]) for one in fields(Lists)}
    for name in ("offsets", "target_offsets"):
        sizes = np.concatenate([np.diff(getattr(s, name)) for s in shards])
        whole[name] = _offsets(sizes)
    return Lists(**whole)


def _offsets(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(sizes)))


def _ragged(offsets: NDArray[np.int64], chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the chosen lists, and how many each has."""
    sizes = np.diff(offsets)[chosen]
    shift = np.repeat(offsets[chosen] - _offsets(sizes)[:-1], sizes)
    return np.arange(int(sizes.sum())) + shift, sizes
