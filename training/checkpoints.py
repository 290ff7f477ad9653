"""What a training needs to go on where it was cut off, to the bit; and parts of a network as plain dictionaries.

Nothing random outlives a step: every draw is seeded by (seed, step, part, process). So weights, the optimizer's
moments and the place in the epoch are all there is to keep.
"""

import hashlib
import io
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streams.errors import BadModel
from training.staged import write_whole

CHECKPOINT_FILE = "checkpoint.pt"
State = dict[str, Tensor]


@dataclass(slots=True)
class Checkpoint:
    """`made_by` tells what was trained how; `batch` counts the batches done in `epoch`."""

    made_by: dict[str, Any]
    weights: State
    optimizer: dict[str, Any]
    epoch: int
    batch: int
    history: list[float]
    best: State

    def save(self, folder: Path) -> None:
        """Write it; an earlier one stays until this one is whole.

        Raises:
            CannotWrite: the disk is full, or the folder isn't ours to write.
        """
        content = io.BytesIO()
        torch.save({one.name: getattr(self, one.name) for one in fields(self)}, content)
        write_whole(folder / CHECKPOINT_FILE, content.getvalue())

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint | None":
        """Read the one of a folder, None if there is none.

        Raises:
            BadModel: it can't be read.
        """
        path = folder / CHECKPOINT_FILE
        if not path.exists():
            return None
        try:
            return cls(**torch.load(path, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, TypeError, LookupError, ValueError, EOFError, pickle.UnpicklingError) as exc:
            raise BadModel(f"{path}: no checkpoint: remove it to begin anew") from exc

    def check(self, made_by: Mapping[str, Any], folder: Path) -> None:
        """Refuse it if something else was trained, or in another way.

        Raises:
            BadModel: names what differs.
        """
        for key in {**made_by, **self.made_by}:
            ours, theirs = made_by.get(key), self.made_by.get(key)
            if ours != theirs:
                where = folder / CHECKPOINT_FILE
                raise BadModel(f"{where}: {key} was {theirs}, and is {ours}: put it back, or remove the checkpoint")


def digest(parts: Iterable[bytes]) -> str:
    """Return a hash of what is learned from, so that a run never goes on with other data."""
    made = hashlib.blake2b(digest_size=8)
    for part in parts:
        made.update(len(part).to_bytes(8, "little") + part)
    return made.hexdigest()


def learned(model: nn.Module) -> State:
    """Return a copy of what training changes: parameters that learn, and buffers."""
    kept = {name: p for name, p in model.named_parameters() if p.requires_grad} | dict(model.named_buffers())
    return {name: tensor.detach().cpu().clone() for name, tensor in kept.items()}


def restore(model: nn.Module, state: State, source: str) -> None:
    """Put back what `learned` returned.

    Raises:
        BadModel: the state is of a network of another shape; nothing was changed.
    """
    now = learned(model)
    for name in {**now, **state}:
        ours, theirs = (tuple(s[name].shape) if name in s else None for s in (now, state))
        if ours != theirs:
            raise BadModel(f"{source}: is of another shape: {name} is {_told(theirs)}, not {_told(ours)}")
    model.load_state_dict(state, strict=False)


def _told(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(shape) if shape else "a number"
