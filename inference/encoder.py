"""What an encoder of texts is: texts in, a vector and a semantic code of each out.

`OnnxEncoder` runs the file in this process (simulation, training); `TritonEncoder` asks a server that runs the same.
Both read the vocabulary from the model's folder, and know by its files what they are: `identity`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.tensors import CODE_LEVELS, CODES, ENCODER_OUTPUTS
from inference.texts import TOKENIZER_FILE, Tokens
from streams.errors import BadModel, EncoderUnavailable

VECTOR, CODE = (tensor.name for tensor in ENCODER_OUTPUTS)
IDENTITY_BYTES = 8


@dataclass(frozen=True, slots=True)
class Encoded:
    """What N texts are: `vectors` (N, D), of length 1, and `codes` (N, C), from 1 to CODES."""

    vectors: NDArray[np.float32]
    codes: NDArray[np.int32]

    @classmethod
    def joined(cls, parts: Sequence[tuple[Tokens, "Encoded"]]) -> "Encoded":
        """Put batches of texts, at least one, back into the order in which they were given."""
        order = np.argsort(np.concatenate([tokens.places for tokens, _ in parts]))
        return cls(
            np.concatenate([encoded.vectors for _, encoded in parts])[order],
            np.concatenate([encoded.codes for _, encoded in parts])[order],
        )


class TextEncoder(Protocol):
    """Encodes texts. Equal texts get equal answers, up to rounding, whatever else is encoded with them."""

    identity: bytes
    """Of the model's files: another one gives other codes."""

    async def encode(self, texts: Sequence[str], timeout_s: float) -> Encoded:
        """Encode texts, at least one, each batch within `timeout_s`, or raise `EncoderUnavailable`."""
        ...


def identity(folder: Path, version: int) -> bytes:
    """Return a hash of a version's files.

    Raises:
        BadModel: one of them can't be read.
    """
    hashed = hashlib.sha256()
    for name in ("model.onnx", TOKENIZER_FILE):
        path = folder / str(version) / name
        try:
            with path.open("rb") as file:
                hashed.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as exc:
            raise BadModel(f"{path}: cannot read the encoder: {exc.strerror}") from exc
    return hashed.digest()[:IDENTITY_BYTES]


def checked(vectors: Any, codes: Any, texts: int, model: str) -> Encoded:
    """Return an answer whose shapes fit, with finite vectors and codes that exist."""
    if vectors is None or codes is None or vectors.shape[:-1] != (texts,) or codes.shape != (texts, CODE_LEVELS):
        raise EncoderUnavailable(f"{model} answered what isn't a vector and a code of {texts} texts")
    if not np.isfinite(vectors).all() or codes.min() < 1 or codes.max() > CODES:
        raise EncoderUnavailable(f"{model} answered vectors that aren't finite, or codes beyond {CODES}")
    return Encoded(vectors, codes)
