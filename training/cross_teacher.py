"""Trains a cross-encoder to judge lists, and judges by it: what the words of a shop say of a candidate.

Of each list the wanted candidates and some others are read, weighted so that the sums stay what they are over all.
Lists know items by hashed id; the catalogue has the words.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inference.tensors import HEADS
from streams.errors import Misuse
from training.adversarial import Adversary
from training.augment import Augmentation
from training.checkpoints import digest
from training.cross_encoder import CrossEncoder
from training.cross_task import Reader, WantedAmong, Weighed
from training.dataset import Dataset
from training.language import Language, vocabulary, weights
from training.lists import Lists, part
from training.loop import Course, Progress, Ran, run
from training.multitask import MultiTask, Weighting
from training.recipe import Fit
from training.splits import TRAIN, VALIDATION
from training.teacher import judged
from training.text import Texts
from training.tuning import Tuning, merge, tune

_PAIRS = 128
"""Pairs that are judged at once."""


@dataclass(frozen=True, slots=True)
class CrossRecipe:
    """How to train; a row is a list, of which `candidates` are read. `judged_lists` of the validation stop it.

    `dropout` is the head's; the language model brings its own.
    """

    tuning: Tuning = "lora"
    weighting: Weighting = "fixed"
    head_weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    listwise: float = Fit().listwise
    dropout: float = 0.1
    candidates: int = 16
    judged_lists: int = 500
    augmentation: Augmentation | None = None
    adversary: Adversary | None = None
    course: Course = field(default_factory=lambda: Course(batch_rows=16, learning_rate=3e-4, checkpoint_steps=100))


class CrossTeacher:
    """Judges candidates by their words and features."""

    name = "language"

    def __init__(self, model: CrossEncoder, texts: Texts) -> None:
        self.model = model.eval()
        self._reader = Reader(model.language, texts)

    def logits(self, lists: Lists) -> NDArray[np.float32]:
        """Return the logits, (R, H); texts of a length are read together, which changes nothing but the time."""
        users = np.repeat(np.arange(len(lists)), np.diff(lists.offsets))
        told = [self._reader.user(history) for history in lists.history_ids]
        read = self._reader.items(lists.item_ids)
        order = sorted(range(len(users)), key=lambda r: len(told[users[r]]) + len(read[r]))
        device = next(self.model.parameters()).device
        said = np.empty((len(users), len(HEADS)), np.float32)
        for start in range(0, len(order), _PAIRS):
            some = order[start : start + _PAIRS]
            tokens = self._reader.tokens([told[users[r]] for r in some], [read[r] for r in some], device)
            with torch.inference_mode():
                z = self.model(**tokens, features=torch.from_numpy(lists.features[some]).to(device))
            said[some] = z.float().cpu().numpy()
        return said


def train_cross_encoder(
    dataset: Dataset,
    texts: Texts,
    language: Language,
    recipe: CrossRecipe,
    *,
    folder: Path | None = None,
    progress: Progress = lambda line: None,
) -> tuple[CrossTeacher, Ran]:
    """Fine-tune a language model in place on the split `train`, stop by the split `validation`.

    Raises:
        Misuse: a split is empty, or of the candidates none was wanted, or all were.
        Diverged, BadModel, CannotWrite: as `loop.run`.
    """
    torch.manual_seed(recipe.course.seed)
    train, validation = dataset.whole(TRAIN), dataset.whole(VALIDATION)
    train = part(train, np.flatnonzero(np.diff(train.offsets)))  # where nothing was found, there is nothing to read
    model = CrossEncoder(language, recipe.dropout)
    _look_over(model, train)
    labelled = int(model.head.labelled)
    balance = MultiTask(recipe.weighting, recipe.head_weights, labelled, recipe.listwise)
    begun = weights(model.model)
    tune(model.model, recipe.tuning)
    order = np.random.default_rng(recipe.course.seed).permutation(len(validation))
    judges = part(validation, np.sort(order[: recipe.judged_lists]))
    task = _Judged(
        WantedAmong(train, Reader(language, texts), recipe.candidates, recipe.augmentation, recipe.adversary),
        CrossTeacher(model, texts), judges,
    )  # fmt: skip
    made_by = {name: value for name, value in asdict(recipe).items() if name != "course"} | {
        "vocabulary": vocabulary(language.tokenizer),
        "weights": begun,
        "data": digest((train.item_ids.tobytes(), train.depth.tobytes())),
    }
    ran = run(Weighed(model, balance), task, recipe.course, folder=folder, made_by=made_by, progress=progress)
    if recipe.tuning == "lora":
        merge(model.model)
    return CrossTeacher(model, texts), ran


class _Judged:
    """The task, judged by the order of validation lists."""

    def __init__(self, task: WantedAmong, teacher: CrossTeacher, judges: Lists) -> None:
        self.rows, self.loss = task.rows, task.loss
        self._teacher, self._judges = teacher, judges

    def judge(self, model: nn.Module) -> float:
        """Return their NDCG."""
        return judged(self._teacher.logits(self._judges), self._judges)


def _look_over(model: CrossEncoder, lists: Lists) -> None:
    """Let the head begin at the means of features and the shares of labels.

    Raises:
        Misuse: the labels are all alike.
    """
    weight = lists.weight.astype(np.float64)
    total = weight.sum()
    positives = weight @ (lists.depth[:, None] > np.arange(len(HEADS)))  # (H,)
    if not 0 < positives[0] < total:
        raise Misuse("nothing to learn: of the candidates that were retrieved, none was wanted, or all were")
    mean = weight @ lists.features / total
    spread = np.sqrt(np.maximum(weight @ lists.features.astype(np.float64) ** 2 / total - mean**2, 0))
    model.head.begin(mean, spread, positives[positives > 0] / total)
