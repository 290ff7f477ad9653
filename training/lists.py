"""What a ranker learns from: lists of candidates as the server would have scored them, with what came of each.

Shards are .npz files of a few thousand lists, read one at a time. Shape letters as everywhere, and N lists, R
candidates of all lists together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from inference.tensors import FEATURES, HEADS
from streams.errors import Misuse


@dataclass(frozen=True, slots=True)
class Lists:
    """N lists, ragged: list n has the candidates offsets[n]:offsets[n + 1], best first by the blend.

    `depth` is 0 for a candidate that nothing happened to (`steps.DEPTHS`). `weight` is how many candidates one stands
    for: negatives are sampled, so that sums over candidates stay unbiased if they are weighted. `targets` counts the
    items of the step, retrieved or not; `at_ms` is when the list was asked for.
    """

    features: NDArray[np.float32]  # (R, F)
    pairs: NDArray[np.float32]  # (R, 2 * SEEDS)
    item_ids: NDArray[np.int32]  # (R,)
    depth: NDArray[np.uint8]  # (R,)
    weight: NDArray[np.float32]  # (R,)
    offsets: NDArray[np.int64]  # (N + 1,)
    seeds: NDArray[np.float32]  # (N, SEEDS)
    history_ids: NDArray[np.int32]  # (N, T)
    users: NDArray[np.int32]  # (N,)
    targets: NDArray[np.int32]  # (N,)
    at_ms: NDArray[np.int64]  # (N,)

    def __len__(self) -> int:
        """The number of lists, N."""
        return len(self.users)

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
        except (OSError, KeyError, ValueError, BadZipFile) as exc:
            raise Misuse(f"{path}: cannot read the shard: {exc}") from exc
        if lists.features.shape[1:] != (len(FEATURES),):
            raise Misuse(f"{path}: was made with {lists.features.shape[1]} features, not {len(FEATURES)}")
        return lists


_OF_CANDIDATES = frozenset({"features", "pairs", "item_ids", "depth", "weight"})
"""Columns with a value for each candidate; the others have one for each list."""


@dataclass(frozen=True, slots=True)
class Batch:
    """B lists, padded to the longest: what the network reads, labels (B, K, H), and weights (B, K), 0 for padding."""

    features: NDArray[np.float32]  # (B, K, F)
    pairs: NDArray[np.float32]  # (B, K, 2 * SEEDS)
    seeds: NDArray[np.float32]  # (B, SEEDS)
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
        pairs=np.where(real[..., None], lists.pairs[at], np.float32(0)),
        seeds=lists.seeds[chosen],
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
    whole["offsets"] = np.concatenate(([0], np.cumsum(np.concatenate([np.diff(s.offsets) for s in shards]))))
    return Lists(**whole)


def part(lists: Lists, chosen: NDArray[np.int64]) -> Lists:
    """Return the chosen lists (B,) alone, in that order."""
    sizes = np.diff(lists.offsets)[chosen]
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    places = np.repeat(lists.offsets[chosen] - offsets[:-1], sizes) + np.arange(offsets[-1])
    columns = {one.name: getattr(lists, one.name) for one in fields(Lists)}
    taken = {
        name: column[places if name in _OF_CANDIDATES else chosen]
        for name, column in columns.items()
        if name != "offsets"
    }
    return Lists(**taken | {"offsets": offsets})
