"""Teaches the encoder which texts belong together: InfoNCE, the other pairs of a batch as negatives, both ways round.

    L = -1/2 (log softmax_j(a_i . b_j / t)_i + log softmax_j(b_i . a_j / t)_i)

van den Oord et al., "Representation learning with contrastive predictive coding" (2018); in-batch negatives as in
Karpukhin et al. (EMNLP 2020). A negative that reads the same as the right answer is none. A part of a batch, and a
process, has its own negatives: fewer parts of a larger batch teach more.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from streams.errors import Misuse
from training.augment import Augmentation, Synonyms, augmented
from training.checkpoints import digest
from training.encoder import Encoder
from training.language import vocabulary
from training.loop import Course, Progress, Ran, Rows, run
from training.pairs import Pair

TEMPERATURE = 0.05
HELD_OUT = 0.05
"""Share of the pairs that judge, not teach; at most MOST_HELD_OUT."""
MOST_HELD_OUT = 512
_NEVER = -1e4


def info_nce(left: Tensor, right: Tensor, same_left: Tensor, same_right: Tensor) -> Tensor:
    """Return the loss of unit vectors (B, D), row i of each belonging together.

    `same_left` and `same_right` (B, B) say which texts of a side read the same.

    >>> one, two = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 2, dtype=torch.bool)
    >>> round(info_nce(one, one, two, two).item(), 4)
    0.0
    """
    scores = left @ right.t() / TEMPERATURE  # (B, B)
    itself = torch.eye(len(left), dtype=torch.bool, device=left.device)
    false = (same_left | same_right) & ~itself
    scores = scores.masked_fill(false, _NEVER)
    wanted = torch.arange(len(left), device=left.device)
    return (functional.cross_entropy(scores, wanted) + functional.cross_entropy(scores.t(), wanted)) / 2


class Belonging:
    """Pairs of texts, some held out to judge by; those that teach are augmented."""

    def __init__(self, encoder: Encoder, pairs: Sequence[Pair], seed: int, augmentation: Augmentation | None) -> None:
        order = np.random.default_rng(seed).permutation(len(pairs))
        held_out = min(MOST_HELD_OUT, int(len(pairs) * HELD_OUT))
        self._encoder, self._augmentation = encoder, augmentation
        self._judges = [pairs[n] for n in order[:held_out]]
        self._pairs = [pairs[n] for n in order[held_out:]]
        self._synonyms = Synonyms.among({text for pair in pairs for text in pair}) if augmentation else Synonyms({})
        self.rows = len(self._pairs)

    def loss(self, model: nn.Module, rows: Rows, generator: np.random.Generator) -> Tensor:
        """Return the mean over pairs."""
        some = [self._pairs[row] for row in rows]
        texts = [text for side in range(2) for text in (pair[side] for pair in some)]
        if self._augmentation:
            shown = [augmented(text, self._augmentation, self._synonyms, generator) for text in texts]
        else:
            shown = texts
        device = next(model.parameters()).device
        vectors = model(*(tensor.to(device) for tensor in self._encoder.tokens(shown)))  # (2 B, D)
        left, right = vectors.chunk(2)
        same_left, same_right = (_same(texts[: len(some)], device), _same(texts[len(some) :], device))
        return info_nce(left, right, same_left, same_right)

    def judge(self, model: nn.Module) -> float | None:
        """Return the mean reciprocal rank of a held-out pair's second text among those of all held-out pairs."""
        if not self._judges:
            return None
        left, right = (self._encoder.encode([pair[side] for pair in self._judges]) for side in range(2))
        scores = left @ right.T
        own = np.diag(scores)[:, None]
        return float((1 / (1 + (scores > own).sum(axis=1))).mean())


def train_encoder(
    encoder: Encoder,
    pairs: Sequence[Pair],
    course: Course,
    *,
    augmentation: Augmentation | None = None,
    folder: Path | None = None,
    progress: Progress = lambda line: None,
) -> Ran:
    """Train an encoder in place.

    Raises:
        Misuse: there are fewer than two pairs.
        Diverged, BadModel, CannotWrite: as `loop.run`.
    """
    if len(pairs) < 2:
        raise Misuse("nothing to learn from: no two items with a text were bought together, nor clicked after a search")
    task = Belonging(encoder, pairs, course.seed, augmentation)
    made_by = {
        "vocabulary": vocabulary(encoder.language.tokenizer),
        "augmentation": None if augmentation is None else asdict(augmentation),
        "data": digest(text.encode() for pair in pairs for text in pair),
    }
    return run(encoder, task, course, folder=folder, made_by=made_by, progress=progress)


def _same(texts: list[str], device: torch.device) -> Tensor:
    numbers: dict[str, int] = {}
    each = torch.tensor([numbers.setdefault(text, len(numbers)) for text in texts], device=device)
    return each[:, None] == each[None, :]
