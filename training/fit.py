"""Trains a ranker on a data set: the sequences first, then the student on the lists, then the sequences anew.

The student learns beside a taste that has seen only what came before its lists, so that it trusts it no more than it
may; then the taste is trained in the same way on the whole log, and takes that one's place. AdamW, one-cycle schedule,
early stopping on the validation lists' NDCG, calibration.

The same data and seed give the same weights, bit for bit, on one thread and the same build of torch.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from inference.tensors import HEADS
from streams.errors import Misuse
from streams.evaluation.intervals import by_user
from streams.evaluation.metrics import from_relevance
from streams.slate.select import worth
from training.calibrate import calibrate
from training.dataset import Dataset
from training.lists import Batch, Lists, batches
from training.losses import LISTWISE, loss
from training.pretrain import Pretraining, pretrain
from training.schedule import one_cycle
from training.splits import TRAIN, VALIDATION
from training.student import Student

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""
TOP = 10
"""The cut of the validation's NDCG."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train; sizes are in lists."""

    seed: int = 1
    epochs: int = 8
    patience: int = 3
    batch_lists: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    listwise: float = LISTWISE
    pretraining: Pretraining = field(default_factory=Pretraining)


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
        Misuse: a split is empty, or no list of one has a candidate that was wanted (or all were).
    """
    began = time.perf_counter()
    _deterministic()
    early = pretrain(dataset.sequences, recipe.pretraining, recipe.seed, early=True, progress=progress)
    student, best_epoch, history = _fit_lists(dataset, Student(early), recipe, progress)
    student.taste = pretrain(dataset.sequences, recipe.pretraining, recipe.seed, early=False, progress=progress)
    return Fitted(student.eval(), best_epoch, history, time.perf_counter() - began)


def _fit_lists(
    dataset: Dataset, student: Student, recipe: Recipe, progress: Progress
) -> tuple[Student, int, tuple[float, ...]]:
    """Train all but the taste; return the student of the best epoch, that epoch, and NDCG by epoch."""
    torch.manual_seed(recipe.seed)
    generator = np.random.default_rng(recipe.seed)
    paths = dataset.paths(TRAIN)
    steps = _look_over(student, dataset, recipe)
    validation = dataset.whole(VALIDATION)
    learned = [p for name, p in student.named_parameters() if not name.startswith("taste.")]
    optimizer = torch.optim.AdamW(learned, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = one_cycle(optimizer, recipe.learning_rate, recipe.epochs * steps, WARM_UP)
    history: list[float] = []
    best = copy.deepcopy(student.state_dict())
    progress(f"before: validation ndcg@{TOP} {ndcg(student, validation):.4f}")
    for epoch in range(recipe.epochs):
        student.train()
        student.taste.eval()
        losses = []
        for shard in generator.permutation(len(paths)).tolist():
            for one in batches(Lists.load(paths[shard]), recipe.batch_lists, generator):
                losses.append(_step(student, one, optimizer, recipe.listwise))
                schedule.step()
        history.append(ndcg(student, validation))
        progress(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}, validation ndcg@{TOP} {history[-1]:.4f}")
        if history[-1] > max(history[:-1], default=-1.0):
            best = copy.deepcopy(student.state_dict())
        if len(history) - int(np.argmax(history)) > recipe.patience:
            break
    student.load_state_dict(best)
    labels = validation.depth[:, None] > np.arange(len(HEADS))
    heads = student.labelled.numpy() > 0
    calibrate(student, probabilities(student, validation)[:, heads], labels[:, heads])
    return student, int(np.argmax(history)) + 1, tuple(history)


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
    return ranked_ndcg(worth(probabilities(student, lists)), lists)


def ranked_ndcg(score: NDArray[np.float64], lists: Lists) -> float:
    """Return the mean NDCG over users of lists ordered by scores (R,); what wasn't retrieved is missed."""
    relevant = np.zeros((len(lists), TOP), bool)
    for row, start, end in zip(relevant, lists.offsets[:-1].tolist(), lists.offsets[1:].tolist(), strict=True):
        best = start + np.argsort(-score[start:end], kind="stable")[:TOP]
        row[: len(best)] = lists.depth[best] > 0
    values = from_relevance(relevant, lists.targets.astype(np.int64))["ndcg"]
    return float(by_user(values, lists.users).mean())


def _step(student: Student, one: Batch, optimizer: torch.optim.Optimizer, listwise: float) -> float:
    heads = student.labelled > 0
    labels = torch.from_numpy(one.labels)[..., heads]
    value = loss(student.logits(*_inputs(one))[..., heads], labels, torch.from_numpy(one.weight), listwise)
    optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
    optimizer.step()
    return value.item()


def _look_over(student: Student, dataset: Dataset, recipe: Recipe) -> int:
    """Standardise the student by the training lists, and note which heads have labels; return an epoch's batches.

    Raises:
        Misuse: the labels are all alike.
    """
    total, first, second = 0.0, np.zeros(1), np.zeros(1)
    positives, deepest, steps = 0.0, 0, 0
    for path in dataset.paths(TRAIN):
        lists = Lists.load(path)
        weight = lists.weight.astype(np.float64)
        values = np.concatenate((lists.features, _signals(student, lists)), axis=1).astype(np.float64)
        total, first = total + weight.sum(), first + weight @ values
        second = second + weight @ values**2
        positives += float(weight[lists.depth > 0].sum())
        deepest = max(deepest, int(lists.depth.max()))
        steps += -(-len(lists) // recipe.batch_lists)
    if not 0 < positives < total:
        raise Misuse("nothing to learn: of the candidates that were retrieved, none was wanted, or all were")
    mean = first / total
    deviation = np.sqrt(np.maximum(second / total - mean**2, 0.0))
    student.begin(torch.from_numpy(mean).float(), torch.from_numpy(deviation).float(), positives / total, deepest)
    return steps


def _signals(student: Student, lists: Lists) -> NDArray[np.float32]:
    """Return f and t of every candidate, (R, 2)."""
    found = []
    with torch.inference_mode():
        for one in batches(lists, 256):
            f, t = student.signals(*_inputs(one))
            found.append(torch.stack((f, t), dim=2).numpy()[one.weight > 0])
    return np.concatenate(found)


def _inputs(one: Batch) -> tuple[torch.Tensor, ...]:
    return tuple(map(torch.from_numpy, (one.features, one.pairs, one.seeds, one.item_ids, one.history_ids)))


def _deterministic() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
