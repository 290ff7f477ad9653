"""What the phases of a fit share: where a phase that was cut off goes on, to the bit, and what is told on the way.

A phase is kept at the end of every epoch. Nothing random outlives an epoch: what it draws is seeded by (seed, epoch).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from streams.errors import Diverged
from training.checkpoints import Checkpoint, State, learned, restore

_APART = 1_000_003
"""Seeds of torch are this far apart, so that no epoch draws what one of another seed does."""
Progress = Callable[[str], None]
Scalars = Callable[[str, float, int], None]
"""Told a name, a value and an epoch, from 1."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of a fit, and the `folder` where it keeps what it needs to go on (None: nowhere).

    `made_by` tells of what is trained how; what a folder keeps must have been made by the same.
    """

    progress: Progress = lambda line: None
    scalars: Scalars = lambda name, value, epoch: None
    folder: Path | None = None
    made_by: dict[str, Any] = field(default_factory=dict)

    def phase(
        self, name: str, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Any, batches: int
    ) -> "Phase":
        """Begin a phase, or go on with it; an epoch has so many `batches`.

        Raises:
            BadModel: what the folder keeps is of another recipe, of other data, of another shape, or can't be read.
        """
        made_by = self.made_by | {"phase": name, "batches": batches, "torch": str(torch.__version__)}
        phase = Phase(model, optimizer, schedule, made_by, None if self.folder is None else self.folder / name)
        phase.resume()
        return phase


@dataclass(slots=True)
class Phase:
    """One phase: its network and optimizer, and how far it is. `folder` None keeps nothing."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    made_by: dict[str, Any]
    folder: Path | None = None
    epoch: int = 0
    history: list[float] = field(default_factory=list)
    best: State = field(default_factory=dict)

    def resume(self) -> None:
        """Go back to where the last epoch ended, if the folder knows.

        Raises:
            BadModel: what it knows is of another recipe, of other data, of another shape, or can't be read.
        """
        state = None if self.folder is None else Checkpoint.load(self.folder)
        if state is None or self.folder is None:
            return
        state.check(self.made_by, self.folder)
        restore(self.model, state.weights, str(self.folder))
        self.optimizer.load_state_dict(state.optimizer["optimizer"])
        self.schedule.load_state_dict(state.optimizer["schedule"])
        self.epoch, self.history, self.best = state.epoch, state.history, state.best

    def keep(self) -> None:
        """Note that an epoch is done.

        Raises:
            CannotWrite: the folder can't be written to.
        """
        self.epoch += 1
        if self.folder is not None:
            both = {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}
            Checkpoint(self.made_by, learned(self.model), both, self.epoch, 0, list(self.history), self.best).save(
                self.folder
            )


def draws(seed: int, epoch: int) -> np.random.Generator:
    """Return the generator of an epoch, and seed torch's for it."""
    torch.manual_seed(seed * _APART + epoch)
    return np.random.default_rng((seed, epoch))


def number(loss: torch.Tensor, where: str) -> float:
    """Return a loss as a number.

    Raises:
        Diverged: it is none; nothing was learned from it.
    """
    value = loss.item()
    if not math.isfinite(value):
        raise Diverged(f"{where}: the loss is {value}: lower the learning rate, or look for values that are none")
    return value
