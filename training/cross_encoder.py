"""The language model as a judge: reads a user's text and a candidate's together, and the features beside them.

    h = mean of the hidden states of  [CLS] user [SEP] candidate [SEP]
    z = v x + MLP(norm(h), x)                   x: standardised features of the tensor contract, z: a logit each head

With no text it is a network over the features, so what words add can be told.
"""

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.tensors import FEATURES, HEADS
from streams.errors import BadModel
from training.checkpoints import learned, restore
from training.language import Language, load_language
from training.staged import staged_folder, write_whole

HIDDEN = 128
CLIP = 5.0
"""Standardised features are clipped to this many deviations."""
HEAD_FILE, LANGUAGE_FOLDER = "head.pt", "language"


class CrossEncoder(nn.Module):
    """Maps pairs of texts (P, L) and the features of their candidates (P, F) to logits (P, H)."""

    def __init__(self, language: Language, dropout: float = 0.1) -> None:
        super().__init__()
        self.language = language
        self.model = language.model
        self.head = Head(language.width, dropout)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, features: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Return the logits; a head without labels says what the deepest one with labels says."""
        kinds = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask, **kinds).last_hidden_state
        mask = attention_mask.unsqueeze(2).to(hidden.dtype)
        pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp_min(1.0)  # (P, D)
        z: Tensor = self.head(pooled.float(), features)
        return z

    def save(self, folder: Path) -> None:
        """Write it as a folder that `load_cross_encoder` reads, whole or not at all.

        Raises:
            CannotWrite: the disk is full, or the folder isn't ours to write.
        """
        content = io.BytesIO()
        torch.save(learned(self.head), content)
        with staged_folder(folder) as staged:
            self.language.save(staged / LANGUAGE_FOLDER)
            write_whole(staged / HEAD_FILE, content.getvalue())


class Head(nn.Module):
    """What stands on the language model."""

    mean: Tensor
    scale: Tensor
    labelled: Tensor

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("scale", torch.ones(len(FEATURES)))
        self.register_buffer("labelled", torch.tensor(len(HEADS)))
        self.norm = nn.LayerNorm(width)
        self.direct = nn.Linear(len(FEATURES), len(HEADS))
        self.deep = nn.Sequential(
            nn.Linear(width + len(FEATURES), HIDDEN), nn.GELU(), nn.Dropout(dropout), nn.Linear(HIDDEN, len(HEADS))
        )

    def begin(self, mean: NDArray[np.float64], deviation: NDArray[np.float64], rates: NDArray[np.float64]) -> None:
        """Set what features (F,) are normalised by, and where learning begins: at the share of each labelled head."""
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(np.where(deviation > 1e-6, 1 / deviation.clip(min=1e-6), 0.0)))
        self.labelled.fill_(len(rates))
        with torch.no_grad():
            self.direct.weight.zero_()
            self.direct.bias[: len(rates)] = torch.from_numpy(np.log(rates / (1 - rates)))

    def forward(self, pooled: Tensor, features: Tensor) -> Tensor:
        """Return logits (P, H) of what was read (P, D) and features (P, F)."""
        x = ((features - self.mean) * self.scale).clamp(-CLIP, CLIP)
        z: Tensor = self.direct(x) + self.deep(torch.cat((self.norm(pooled), x), dim=1))
        heads = torch.arange(len(HEADS), device=z.device)
        return z[:, torch.minimum(heads, self.labelled - 1)]


def load_cross_encoder(folder: Path) -> CrossEncoder:
    """Return the one that `save` wrote, in evaluation mode.

    Raises:
        Misuse, BadModel: as `load_language`; or it was made for other features or heads.
    """
    model = CrossEncoder(load_language(folder / LANGUAGE_FOLDER))
    path = folder / HEAD_FILE
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError) as exc:
        raise BadModel(f"{path}: cannot be read: is {folder} a folder of a cross-encoder?") from exc
    restore(model.head, state, str(path))
    return model.eval()
