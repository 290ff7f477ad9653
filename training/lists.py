"""What a ranker learns from: lists of candidates as the server would have scored them, with what came of each.

On disk they are shards of a few thousand lists (`shards.py`), read one at a time. Shape letters as everywhere, and N
lists, R candidates of all lists together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.tensors import HEADS
from streams.errors import Misuse
from training import shards


@dataclass(frozen=True, slots=True)
class Lists:
    """N lists, ragged: list n has the candidates offsets[n]:offsets[n + 1], best first by the blend.

    `depth` is 0 for a candidate that nothing happened to (`steps.DEPTHS`). `weight` is how many candidates one stands
    for: negatives are sampled, so that sums over candidates stay unbiased if they are weighted. `targets` counts the
    items of the step, retrieved or not; `at_ms` is when the list was asked for.

    A teacher may add its logits. Lists of feedback know where a candidate was shown, from 0, and how probable that was.
    """

    features: NDArray[np.float32]  # (R, F)
    pairs: NDArray[np.float32]  # (R, 2 * SEEDS)
    item_ids: NDArray[np.int32]  # (R,)
    item_codes: NDArray[np.int32]  # (R, C)
    depth: NDArray[np.uint8]  # (R,)
    weight: NDArray[np.float32]  # (R,)
    offsets: NDArray[np.int64]  # (N + 1,)
    seeds: NDArray[np.float32]  # (N, SEEDS)
    history_ids: NDArray[np.int32]  # (N, T)
    history_codes: NDArray[np.int32]  # (N, T, C)
    users: NDArray[np.int32]  # (N,)
    targets: NDArray[np.int32]  # (N,)
    at_ms: NDArray[np.int64]  # (N,)
    teacher: NDArray[np.float32] | None = None  # (R, H)
    position: NDArray[np.int32] | None = None  # (R,)
    propensity: NDArray[np.float32] | None = None  # (R,)

    def __len__(self) -> int:
        """The number of lists, N."""
        return len(self.users)

    def save(self, path: Path) -> None:
        """Write a shard.

        Raises:
            Misuse: it can't be written; nothing is left under its name.
        """
        shards.write(path, {one.name: getattr(self, one.name) for one in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "Lists":
        """Read a shard.

        Raises:
            Misuse: it is missing, cut or damaged, no shard, or was made by another contract.
        """
        return cls(**shards.read(path))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Batch:
    """B lists, padded to the longest: what the network reads, labels (B, K, H), and weights (B, K), 0 for padding.

    `teacher` are a teacher's logits, 0 for padding, if the lists have them.
    """

    features: NDArray[np.float32]  # (B, K, F)
    pairs: NDArray[np.float32]  # (B, K, 2 * SEEDS)
    seeds: NDArray[np.float32]  # (B, SEEDS)
    item_ids: NDArray[np.int32]  # (B, K)
    history_ids: NDArray[np.int32]  # (B, T)
    item_codes: NDArray[np.int32]  # (B, K, C)
    history_codes: NDArray[np.int32]  # (B, T, C)
    labels: NDArray[np.float32]  # (B, K, H)
    weight: NDArray[np.float32]  # (B, K)
    teacher: NDArray[np.float32] | None = None  # (B, K, H)


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
        item_codes=np.where(real[..., None], lists.item_codes[at], np.int32(0)),
        history_codes=lists.history_codes[chosen],
        labels=(depth[..., None] > np.arange(len(HEADS))).astype(np.float32),
        weight=np.where(real, lists.weight[at], np.float32(0)),
        teacher=None if lists.teacher is None else np.where(real[..., None], lists.teacher[at], np.float32(0)),
    )


def batches(lists: Lists, size: int, generator: np.random.Generator | None = None) -> Iterator[Batch]:
    """Yield all lists, `size` at a time, in an order drawn from the generator, or as they are."""
    order = np.arange(len(lists)) if generator is None else generator.permutation(len(lists))
    for start in range(0, len(order), size):
        yield batch(lists, order[start : start + size])


def joined(parts: list[Lists]) -> Lists:
    """Return several as one; a column that one of them lacks is left out."""
    if not parts:
        raise Misuse("there are no lists to learn from")
    columns = {one.name: [getattr(part, one.name) for part in parts] for one in fields(Lists)}
    whole = {
        name: None if any(part is None for part in column) else np.concatenate(column)
        for name, column in columns.items()
    }
    whole["offsets"] = np.concatenate(([0], np.cumsum(np.concatenate([np.diff(part.offsets) for part in parts]))))
    return Lists(**whole)  # type: ignore[arg-type]


def part(lists: Lists, chosen: NDArray[np.int64]) -> Lists:
    """Return the chosen lists (B,) alone, in that order."""
    sizes = np.diff(lists.offsets)[chosen]
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    places = np.repeat(lists.offsets[chosen] - offsets[:-1], sizes) + np.arange(offsets[-1])
    columns = {one.name: getattr(lists, one.name) for one in fields(Lists)}
    taken = {
        name: None if column is None else column[places if shards.COLUMNS[name].ragged else chosen]
        for name, column in columns.items()
        if name != "offsets"
    }
    return Lists(**taken | {"offsets": offsets})  # type: ignore[arg-type]
