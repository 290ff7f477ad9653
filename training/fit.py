"""Trains a ranker on a data set: the sequences first, then the student on the lists, then the sequences on and anew.

The student learns beside a taste that has seen only what came before its lists, so that it trusts it no more than it
may. What is served is a taste of the whole log, which knows more: so the first one learns on until the validation
lists, and they tell how much more the student may trust it; probabilities are calibrated by it, too. Then a taste of
the whole log takes its place. AdamW, one-cycle schedule, early stopping on the validation lists' NDCG.

The same data and seed give the same weights, bit for bit, on one thread and the same build of torch.
"""

import shutil
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from inference.tensors import HEADS, RANKER_INPUTS
from streams.errors import Misuse
from streams.evaluation.intervals import by_user
from streams.evaluation.metrics import from_relevance
from streams.slate.select import worth
from training.calibrate import calibrate
from training.checkpoints import learned, restore
from training.dataset import Dataset
from training.lists import Batch, Lists, batches
from training.losses import loss, taught_loss
from training.phases import Phase, Watch, draws, number
from training.pretrain import pretrain
from training.recipe import Pretraining, Recipe, flat
from training.schedule import one_cycle
from training.splits import TRAIN, VALIDATION
from training.student import Student
from training.taste import Taste

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""
TOP = 10
"""The cut of the validation's NDCG."""
VALIDATION_SCALAR = f"lists/validation_ndcg@{TOP}"
TRUSTS = (1.0, 1.5, 2.0, 2.5, 3.0, 0.5)
"""How much a taste that knows more may be trusted, where that of the lists is trusted 1; of equals the first."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained student, in evaluation mode, with what happened on the way."""

    student: Student
    best_epoch: int
    validation_ndcg: tuple[float, ...]
    seconds: float


def fit(dataset: Dataset, recipe: Recipe, watch: Watch | None = None, start: Student | None = None) -> Fitted:
    """Train on the split `train`, stop by the split `validation`; with `start` it learns on from those weights.

    With a folder in `watch`, a fit that was cut off goes on after its last whole epoch, and ends with the same weights,
    to the bit; when it is done the folder is gone.

    Raises:
        Misuse: a split is empty, or no list of one has a candidate that was wanted (or all were).
        Diverged: a loss is no number.
        BadModel: the folder keeps a fit of something else.
        CannotWrite: the folder can't be written to.
    """
    began = time.perf_counter()
    watch = watch or Watch()
    made_by = dict(flat(recipe)) | {"data": dataset.meta.get("key")} | watch.made_by
    watch = replace(watch, made_by=made_by)
    student, best_epoch, history = fit_early(dataset, recipe, watch, start=start)
    student.taste = pretrain(
        dataset.sequences, _shorter(recipe.pretraining), recipe.seed, part="late", watch=watch, base=student.taste
    )
    _trust(student, dataset.whole(VALIDATION), watch)
    student.taste = pretrain(
        dataset.sequences, recipe.pretraining, recipe.seed, part="whole", watch=watch,
        base=None if start is None else start.taste,
    )  # fmt: skip
    if watch.folder is not None:
        shutil.rmtree(watch.folder, ignore_errors=True)
    return Fitted(student.eval(), best_epoch, history, time.perf_counter() - began)


def fit_early(
    dataset: Dataset,
    recipe: Recipe,
    watch: Watch | None = None,
    taste: Taste | None = None,
    start: Student | None = None,
) -> tuple[Student, int, tuple[float, ...]]:
    """Return a student whose taste knows only what came before its lists, its best epoch, and NDCG by epoch.

    `taste` is that taste, if it has been trained before. The taste of `start` may know the lists' answers, so it is
    never this one.

    Raises:
        Misuse, Diverged, BadModel, CannotWrite: as `fit`.
    """
    watch = watch or Watch()
    _deterministic()
    early = taste or pretrain(dataset.sequences, recipe.pretraining, recipe.seed, part="early", watch=watch)
    torch.manual_seed(recipe.seed)
    student = Student(early)
    if start is not None:
        knows = {f"taste.{name}": one for name, one in early.state_dict().items()}
        student.load_state_dict(start.state_dict() | knows | {"trust": student.trust})
    return _fit_lists(dataset, student, recipe, watch, fresh=start is None)


def _fit_lists(
    dataset: Dataset, student: Student, recipe: Recipe, watch: Watch, *, fresh: bool
) -> tuple[Student, int, tuple[float, ...]]:
    """Train all but the taste; return the student of the best epoch, that epoch, and NDCG by epoch."""
    steps = _look_over(student, dataset, recipe, fresh=fresh)
    validation = dataset.whole(VALIDATION)
    learns = [p for name, p in student.named_parameters() if not name.startswith("taste.")]
    optimizer = torch.optim.AdamW(learns, lr=recipe.fit.learning_rate, weight_decay=recipe.fit.weight_decay)
    schedule = one_cycle(optimizer, recipe.fit.learning_rate, recipe.fit.epochs * steps, WARM_UP)
    watch.progress(f"before: validation ndcg@{TOP} {ndcg(student, validation):.4f}")
    phase = watch.phase("lists", student, optimizer, schedule, steps)
    history = phase.history
    while phase.epoch < recipe.fit.epochs and len(history) - _best(history) <= recipe.fit.patience:
        mean_loss = _epoch(dataset, phase, recipe)
        history.append(ndcg(student, validation))
        if _best(history) == len(history):
            phase.best = learned(student)
        phase.keep()
        watch.progress(f"epoch {phase.epoch}: loss {mean_loss:.4f}, validation ndcg@{TOP} {history[-1]:.4f}")
        watch.scalars("lists/loss", mean_loss, phase.epoch)
        watch.scalars(VALIDATION_SCALAR, history[-1], phase.epoch)
    restore(student, phase.best, "the best epoch")
    _calibrate(student, validation)
    return student, _best(history), tuple(history)


def _shorter(recipe: Pretraining) -> Pretraining:
    """Return how a taste learns on: in a third of the time."""
    return replace(recipe, epochs=max(1, recipe.epochs // 3), places=max(1, recipe.places // 3))


def _trust(student: Student, validation: Lists, watch: Watch) -> None:
    """Set how much the student trusts a taste that knows more of the log, by what is best for the validation lists."""
    found = []
    for trust in TRUSTS:
        student.trust.fill_(trust)
        found.append(ndcg(student, validation))
    student.trust.fill_(TRUSTS[int(np.argmax(found))])
    watch.progress(
        f"a taste of more, trusted {student.trust.item():g} times: validation ndcg@{TOP} {max(found):.4f}"
        f" (once: {found[TRUSTS.index(1.0)]:.4f})"
    )
    _calibrate(student, validation)


def _calibrate(student: Student, validation: Lists) -> None:
    """Set the probabilities of the heads that have labels right."""
    student.calibration.copy_(torch.tensor([1.0, 0.0]))
    labels = validation.depth[:, None] > np.arange(len(HEADS))
    heads = student.labelled.numpy() > 0
    calibrate(student, probabilities(student, validation)[:, heads], labels[:, heads])


def _epoch(dataset: Dataset, phase: Phase, recipe: Recipe) -> float:
    """Learn from every list once, a shard at a time; return the mean loss."""
    student: Student = phase.model  # type: ignore[assignment]
    student.train()
    student.taste.eval()
    generator = draws(recipe.seed, phase.epoch)
    paths, losses = dataset.paths(TRAIN), []
    for shard in generator.permutation(len(paths)).tolist():
        for one in batches(Lists.load(paths[shard]), recipe.fit.batch_lists, generator):
            losses.append(_step(student, one, phase.optimizer, recipe, f"epoch {phase.epoch + 1}"))
            phase.schedule.step()
    return float(np.mean(losses))


def _best(history: list[float]) -> int:
    """Return the first of the best epochs, from 1; 0 before any."""
    return int(np.argmax(history)) + 1 if history else 0


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
    return float(by_user(ndcg_of(score, lists), lists.users).mean())


def ndcg_of(score: NDArray[np.float64], lists: Lists) -> NDArray[np.float64]:
    """Return the NDCG (N,) of each list ordered by scores (R,); what wasn't retrieved is missed."""
    relevant = np.zeros((len(lists), TOP), bool)
    for row, start, end in zip(relevant, lists.offsets[:-1].tolist(), lists.offsets[1:].tolist(), strict=True):
        best = start + np.argsort(-score[start:end], kind="stable")[:TOP]
        row[: len(best)] = lists.depth[best] > 0
    return from_relevance(relevant, lists.targets.astype(np.int64))["ndcg"]


def _step(student: Student, one: Batch, optimizer: torch.optim.Optimizer, recipe: Recipe, where: str) -> float:
    heads = student.labelled > 0
    labels, weight = torch.from_numpy(one.labels)[..., heads], torch.from_numpy(one.weight)
    logits = student.logits(*_inputs(one))[..., heads]
    value = loss(logits, labels, weight, recipe.fit.listwise)
    alpha = recipe.distillation.alpha
    if alpha:
        if one.teacher is None:
            raise Misuse("distillation.alpha: these lists have no teacher's logits: set it to 0, or distill")
        said = torch.from_numpy(one.teacher)[..., heads]
        lesson = taught_loss(logits, said, weight, recipe.fit.listwise, recipe.distillation.temperature)
        value = alpha * lesson + (1 - alpha) * value
    told = number(value, where)
    optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
    optimizer.step()
    return told


def _look_over(student: Student, dataset: Dataset, recipe: Recipe, *, fresh: bool) -> int:
    """Standardise a fresh student by the training lists, and note which heads have labels; return an epoch's batches.

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
        steps += -(-len(lists) // recipe.fit.batch_lists)
    if not 0 < positives < total:
        raise Misuse("nothing to learn: of the candidates that were retrieved, none was wanted, or all were")
    if not fresh:
        student.labelled[:deepest] = 1.0  # its weights belong to the scale that they were learned on
        return steps
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
    return tuple(torch.from_numpy(getattr(one, tensor.name)) for tensor in RANKER_INPUTS)


def _deterministic() -> None:
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a tenth of the time
    torch.set_num_threads(1)
