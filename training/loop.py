"""The one training loop of everything large: epochs, warm-up, parts of a batch, several processes, early stopping.

    torchrun --nproc-per-node 4 …        each process takes its share of every batch

A batch is cut into `parts` (gradient accumulation), and each part into one share a process; a loss is a mean over rows,
so neither changes what is learned, but for rounding. With a folder, a run that is cut off goes on where it was, and
ends with the same weights, to the bit, on the same machine. AdamW (Loshchilov and Hutter, ICLR 2019), linear warm-up,
then cosine to zero.
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streams.errors import Diverged, Misuse
from training.checkpoints import Checkpoint, State, learned, restore

Rows = NDArray[np.int64]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Course:
    """How to train. `parts` more: less memory, more time. `patience`: epochs without a better one before the end."""

    seed: int = 1
    epochs: int = 3
    batch_rows: int = 32
    parts: int = 1
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warm_up: float = 0.1
    clip: float = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"
    patience: int = 1
    checkpoint_steps: int = 200


class Task(Protocol):
    """What is learned: numbered rows, the loss on some of them, and how good a network is."""

    rows: int

    def loss(self, model: nn.Module, rows: Rows, generator: np.random.Generator) -> Tensor:
        """Return the mean loss over rows (B,); whatever is drawn comes from the generator, or torch's."""
        ...

    def judge(self, model: nn.Module) -> float | None:
        """Return how good the network is, more is better; None if the last epoch is as good as any."""
        ...


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a run: the epoch that was kept, from 1, and the judgement of each."""

    best_epoch: int
    history: tuple[float, ...]


def run(
    model: nn.Module,
    task: Task,
    course: Course,
    *,
    folder: Path | None = None,
    made_by: dict[str, Any] | None = None,
    progress: Progress = lambda line: None,
) -> Ran:
    """Train `model` in place, leave it in evaluation mode with the weights of its best epoch.

    `made_by` is noted in checkpoints beside the course, and must not have changed when a run goes on.

    Raises:
        Misuse: there is nothing to learn from, or a package is missing.
        Diverged: a loss is no number.
        BadModel: the folder's checkpoint is of something else.
        CannotWrite: a checkpoint can't be written.
    """
    if not task.rows:
        raise Misuse("nothing to learn from: there is no row")
    loop = _Loop(model, task, course, folder, (made_by or {}) | asdict(course) | {"rows": task.rows})
    return loop.run(progress)


class _Loop:
    """One run: what stays the same in it, and where it is."""

    def __init__(
        self, model: nn.Module, task: Task, course: Course, folder: Path | None, made_by: dict[str, Any]
    ) -> None:
        self.task, self.course, self.folder = task, course, folder
        torch.use_deterministic_algorithms(True, warn_only=True)
        self.accelerator = _accelerator()
        self.bare = model
        self.model = self.accelerator.prepare_model(model)
        self.optimizer = torch.optim.AdamW(_groups(model, course.weight_decay), lr=course.learning_rate)
        self.steps_an_epoch = math.ceil(task.rows / course.batch_rows)
        self.made_by = made_by | {"processes": self.accelerator.num_processes}
        self.epoch, self.batch = 0, 0
        self.history: list[float] = []
        self.best: State = {}

    def run(self, progress: Progress) -> Ran:
        self._resume()
        while self.epoch < self.course.epochs and not self._is_late():
            value = self._epoch(progress)
            told = self._judge()
            self.epoch, self.batch = self.epoch + 1, 0
            self._save()
            progress(f"epoch {self.epoch} of {self.course.epochs}: loss {value:.4f}{told}")
        if self.best:
            restore(self.bare, self.best, "the best epoch")
        self.optimizer.zero_grad(set_to_none=True)
        self.bare.eval()
        best = int(np.argmax(self.history)) + 1 if self.history else self.epoch
        return Ran(best, tuple(self.history))

    def _is_late(self) -> bool:
        return bool(self.history) and len(self.history) - 1 - int(np.argmax(self.history)) >= self.course.patience

    def _epoch(self, progress: Progress) -> float:
        """Go through the rest of an epoch; return its mean loss."""
        order = np.random.default_rng((self.course.seed, self.epoch)).permutation(self.task.rows)
        self.model.train()
        losses = []
        while self.batch < self.steps_an_epoch:
            start = self.batch * self.course.batch_rows
            losses.append(self._step(order[start : start + self.course.batch_rows]))
            self.batch += 1
            if self.batch % self.course.checkpoint_steps == 0 and self.batch < self.steps_an_epoch:
                self._save()
                progress(
                    f"epoch {self.epoch + 1} of {self.course.epochs}: step {self.batch:,} of {self.steps_an_epoch:,}"
                )
        return float(np.mean(losses)) if losses else math.nan

    def _step(self, rows: Rows) -> float:
        number = self.epoch * self.steps_an_epoch + self.batch
        for group in self.optimizer.param_groups:
            group["lr"] = self.course.learning_rate * self._rate(number)
        self.optimizer.zero_grad(set_to_none=True)
        rows = np.resize(rows, max(len(rows), self.accelerator.num_processes))  # none may have nothing to do
        parts = np.array_split(rows, min(self.course.parts, len(rows) // self.accelerator.num_processes))
        total = 0.0
        for place, part in enumerate(parts):
            last = place == len(parts) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                total += self._part(part, len(part) / len(rows), number, place)
        # Of what learns alone: what doesn't may hold gradients of an earlier run.
        learns = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(learns, self.course.clip)
        self.optimizer.step()
        return total

    def _part(self, part: Rows, share: float, number: int, place: int) -> float:
        """Add a part's gradient, weighted by its share of the batch; return its share of the loss."""
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        ours = part[process::processes]
        seeds = np.random.SeedSequence((self.course.seed, number, place, process))
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        with self._precision():
            loss = self.task.loss(self.model, ours, np.random.default_rng(seeds))
        value = loss.item()
        if not math.isfinite(value):
            raise Diverged(
                f"step {number + 1} (epoch {self.epoch + 1}): the loss is {value}: lower the learning rate, "
                "or look for values that are no numbers"
            )
        # Processes average their gradients: a share of another size than the others' counts by its size.
        self.accelerator.backward(loss * share * len(ours) * processes / len(part))
        return value * share

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.course.precision == "bf16")

    def _rate(self, number: int) -> float:
        """Return the learning rate of a step, as a share of the highest."""
        steps = self.course.epochs * self.steps_an_epoch
        warm = self.course.warm_up * steps
        if number < warm:
            return (number + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * (number - warm) / max(1.0, steps - warm)))

    def _judge(self) -> str:
        self.model.eval()
        with self._precision():
            value = self.task.judge(self.bare)
        if value is None:
            return ""
        self.history.append(value)
        if value > max(self.history[:-1], default=-math.inf):
            self.best = learned(self.bare)
        return f", judged {value:.4f}"

    def _save(self) -> None:
        if self.folder is not None and self.accelerator.is_main_process:
            state = Checkpoint(
                self.made_by, learned(self.bare), self.optimizer.state_dict(), self.epoch, self.batch,
                list(self.history), self.best,
            )  # fmt: skip
            state.save(self.folder)
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        state = None if self.folder is None else Checkpoint.load(self.folder)
        if state is None or self.folder is None:
            return
        state.check(self.made_by, self.folder)
        restore(self.bare, state.weights, str(self.folder))
        self.optimizer.load_state_dict(state.optimizer)
        self.epoch, self.batch = state.epoch, state.batch
        self.history, self.best = state.history, state.best


def _accelerator() -> Any:
    try:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs
    except ModuleNotFoundError as exc:
        raise Misuse(f"training needs the package {exc.name}: pip install 'streamrank[train]'") from exc
    # A network is applied more than once before a gradient; buffers copied in between would be changes under its feet.
    ddp = DistributedDataParallelKwargs(broadcast_buffers=False)
    return Accelerator(cpu=not torch.accelerator.is_available(), kwargs_handlers=[ddp])


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return what learns, matrices with weight decay, biases and scales without."""
    learns = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learns if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learns if p.ndim <= 1], "weight_decay": 0.0},
    ]
