"""The encoder of texts in this process: the same ONNX file that Triton serves, through onnxruntime on one thread.

The simulator and the training encode the catalogue with it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.encoder import CODE, VECTOR, Encoded, checked, identity
from inference.tensors import CODE_LEVELS, ENCODER_INPUTS
from inference.texts import TOKENIZER_FILE, Tokenizer, Tokens
from streams.errors import BadModel, MissingServer


class OnnxEncoder:
    """The encoder in this process, `<folder>/<version>/model.onnx`, on one thread."""

    def __init__(self, folder: Path, version: int) -> None:
        """Open that version of the model folder; raise `BadModel` if its files can't be read."""
        try:
            import onnxruntime
        except ImportError as exc:
            raise MissingServer("onnxruntime is not installed: pip install 'streamrank[embedded]'") from exc
        self.identity = identity(folder, version)
        self.model = f"{folder.name}/{version}"
        self._tokenizer = Tokenizer(folder / str(version) / TOKENIZER_FILE)
        self._codes: dict[str, NDArray[np.int32]] = {}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = folder / str(version) / "model.onnx"
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # onnxruntime's errors share no base but this one
            raise BadModel(f"{path}: onnxruntime cannot open it: {exc}") from exc

    def encoded(self, texts: Sequence[str]) -> Encoded:
        """Encode texts, at least one; raise `EncoderUnavailable` if the file answers what is no code."""
        return Encoded.joined([(tokens, self.run(tokens)) for tokens in self._tokenizer.batches(texts)])

    def codes(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Return the codes of texts, (N, C), each computed once however often it is asked for."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._codes]
        if missing:
            self._codes.update(zip(missing, self.encoded(missing).codes, strict=True))
        return np.array([self._codes[text] for text in texts], np.int32).reshape(-1, CODE_LEVELS)

    def batches(self, texts: Sequence[str]) -> Iterator[Tokens]:
        """Yield texts as `run` takes them."""
        return self._tokenizer.batches(texts)

    def run(self, tokens: Tokens) -> Encoded:
        """Encode one batch of tokens."""
        feeds = {tensor.name: getattr(tokens, tensor.name) for tensor in ENCODER_INPUTS}
        vectors, codes = self._session.run([VECTOR, CODE], feeds)
        return checked(vectors, codes, len(tokens.places), self.model)
