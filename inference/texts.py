"""Texts as the encoder reads them: tokens by the vocabulary that lies beside the model, `<version>/tokenizer.json`.

Texts of like length go together, and a text's padding depends on its length alone: so what is computed of it doesn't
depend on its neighbours.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.tensors import MAX_BATCH_SIZE
from streams.errors import BadModel, MissingServer

TOKENIZER_FILE: Final = "tokenizer.json"
MAX_TOKENS: Final = 64
"""Tokens of a text that are read; the rest is cut off. More: slower, by about as much."""
PADDED_TO: Final = 16
"""Texts are padded to a multiple of so many tokens."""


class Tokens(NamedTuple):
    """Texts of one padded length: which of the given ones, (B,), and `ENCODER_INPUTS`, (B, L) each."""

    places: NDArray[np.int64]
    input_ids: NDArray[np.int32]
    attention_mask: NDArray[np.int32]


class Tokenizer:
    """The vocabulary of one version of an encoder."""

    def __init__(self, path: Path) -> None:
        """Read `tokenizer.json`; raise `BadModel` if it is none."""
        try:
            from tokenizers import Tokenizer as Vocabulary
        except ImportError as exc:
            raise MissingServer("tokenizers is not installed: pip install 'streamrank[text]'") from exc
        try:
            self._vocabulary = Vocabulary.from_file(str(path))
        except Exception as exc:  # tokenizers' errors share no base but this one
            raise BadModel(f"{path}: cannot read the encoder's vocabulary: {exc}") from exc
        self._vocabulary.enable_truncation(MAX_TOKENS)
        self._vocabulary.no_padding()

    def batches(self, texts: Sequence[str]) -> Iterator[Tokens]:
        """Yield all texts, at most MAX_BATCH_SIZE at a time."""
        # One by one: its threads would not survive a fork, and a text takes some 30 us.
        read = [self._vocabulary.encode(text).ids for text in texts]
        padded = [max(PADDED_TO, -(-len(ids) // PADDED_TO) * PADDED_TO) for ids in read]
        order = sorted(range(len(read)), key=lambda n: padded[n])
        for length, alike in groupby(order, key=lambda n: padded[n]):
            places = np.fromiter(alike, np.int64)
            for start in range(0, len(places), MAX_BATCH_SIZE):
                some = places[start : start + MAX_BATCH_SIZE]
                yield _padded(some, [read[n] for n in some.tolist()], length)


def _padded(places: NDArray[np.int64], read: Sequence[Sequence[int]], length: int) -> Tokens:
    input_ids, mask = np.zeros((2, len(places), length), np.int32)
    for row, ids in enumerate(read):
        input_ids[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    return Tokens(places, input_ids, mask)
