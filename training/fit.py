"""Trains the student on shards: AdamW, one-cycle schedule, early stopping on the validation lists' NDCG, calibration.

The same data and seed give the same weights, bit for bit, on one thread and the same build of torch.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from inference.tensors import HEADS
from streams.errors import Misuse
from streams.evaluation.intervals import by_user
from streams.evaluation.metrics import from_relevance
from training.calibrate import calibrate
from training.dataset import Dataset
from training.lists import TOP, Batch, Lists, batches
from training.losses import LISTWISE, loss
from training.policies import relevance, top_by
from training.student import Student


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train; sizes are in lists."""

    seed: int = 1
    epochs: int = 7
    patience: int = 3
    batch_lists: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    listwise: float = LISTWISE
    validation_lists: int = 4_000


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained student, in evaluation mode, with what happened on the way."""

    student: Student
    best_epoch: int
    validation_ndcg: tuple[float, ...]
    seconds: float


Progress = Callable[[str], None]


def fit(dataset: Dataset, recipe: Recipe, progress: Progress = lambda line: None) -> Fitted:
    """Train on the split `train`, stop by the split `validation`; `progress` gets a line an epoch.

    Raises:
        Misuse: a split is empty, or no list of one has a candidate that was bought (or all were).
    """
    began = time.perf_counter()
    _deterministic(recipe.seed)
    generator = np.random.default_rng(recipe.seed)
    paths = dataset.paths("train")
    student = Student()
    steps = _look_over(student, dataset, recipe)
    validation = _sample(dataset.whole("validation"), recipe.validation_lists, generator)
    optimizer = torch.optim.AdamW(student.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.1
    )
    history: list[float] = []
    best = copy.deepcopy(student.state_dict())
    for epoch in range(recipe.epochs):
        student.train()
        losses = []
        for shard in generator.permutation(len(paths)).tolist():
            for one in batches(Lists.load(paths[shard]), recipe.batch_lists, generator):
                losses.append(_step(student, one, optimizer, recipe.listwise))
                schedule.step()
        history.append(ndcg(student, validation))
        progress(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}, validation ndcg@{TOP} {history[-1]:.4f}")
        if history[-1] >= max(history):
            best = copy.deepcopy(student.state_dict())
        if len(history) - int(np.argmax(history)) > recipe.patience:
            break
    student.load_state_dict(best)
    labels = validation.depth[:, None] > np.arange(len(HEADS))
    calibrate(student, probabilities(student, validation), labels)
    return Fitted(student.eval(), int(np.argmax(history)) + 1, tuple(history), time.perf_counter() - began)


def probabilities(student: Student, lists: Lists, batch_lists: int = 64) -> NDArray[np.float32]:
    """Return the student's p for every candidate of all lists, (R, H)."""
    student.eval()
    scored = []
    with torch.inference_mode():
        for one in batches(lists, batch_lists):
            p = student(*_inputs(one)).numpy()
            scored.append(p[one.weight > 0])
    return np.concatenate(scored)


def ndcg(student: Student, lists: Lists) -> float:
    """Return the mean NDCG over users of lists in the order that would be served."""
    top = top_by(lists, probabilities(student, lists))
    relevant, targets = relevance(lists, top)
    some = targets > 0
    return float(by_user(from_relevance(relevant[some], targets[some])["ndcg"], lists.users[some]).mean())


def _step(student: Student, one: Batch, optimizer: torch.optim.Optimizer, listwise: float) -> float:
    value = loss(student.logits(*_inputs(one)), torch.from_numpy(one.labels), torch.from_numpy(one.weight), listwise)
    optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
    optimizer.step()
    return value.item()


def _look_over(student: Student, dataset: Dataset, recipe: Recipe) -> int:
    """Standardise the student by the training lists; return the batches of an epoch.

    Raises:
        Misuse: the labels are all alike.
    """
    total, first, second = 0.0, np.zeros(1), np.zeros(1)
    positives, steps = 0.0, 0
    for path in dataset.paths("train"):
        lists = Lists.load(path)
        values, weight = lists.features.astype(np.float64), lists.weight.astype(np.float64)
        total, first = total + weight.sum(), first + weight @ values
        second = second + weight @ values**2
        positives += float(weight[lists.depth > 0].sum())
        steps += -(-len(lists) // recipe.batch_lists)
    if not 0 < positives < total:
        raise Misuse("nothing to learn: the candidates of the split `train` were all bought, or none was")
    mean = first / total
    deviation = np.sqrt(np.maximum(second / total - mean**2, 0.0))
    student.standardise(torch.from_numpy(mean).float(), torch.from_numpy(deviation).float())
    return steps


def _sample(lists: Lists, size: int, generator: np.random.Generator) -> Lists:
    """Return at most `size` lists, drawn at random."""
    if len(lists) <= size:
        return lists
    return lists.chosen(np.sort(generator.choice(len(lists), size, replace=False)))


def _inputs(one: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.from_numpy(one.features), torch.from_numpy(one.item_ids), torch.from_numpy(one.history_ids)


def _deterministic(seed: int) -> None:
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
