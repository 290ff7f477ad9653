"""The encoder of texts behind Triton: one version of it, over gRPC. Whatever goes wrong is `EncoderUnavailable`."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tritonclient.grpc as triton_sync
from tritonclient.utils import InferenceServerException

from inference.encoder import CODE, VECTOR, Encoded, checked, identity
from inference.tensors import ENCODER_INPUTS
from inference.texts import TOKENIZER_FILE, Tokenizer, Tokens
from inference.triton_ranker import TritonAddress
from streams.errors import EncoderUnavailable


class TritonEncoder:
    """The encoder behind Triton: one version, over gRPC; belongs to the event loop that first encodes with it."""

    def __init__(self, address: TritonAddress, folder: Path, version: int) -> None:
        """Read vocabulary and identity from the model's folder; raise `BadModel` if its files can't be read.

        Connects lazily.
        """
        self.identity = identity(folder, version)
        self.model = f"{folder.name}/{version}"
        self._name, self._version = folder.name, str(version)
        self._tokenizer = Tokenizer(folder / str(version) / TOKENIZER_FILE)
        self._address = address
        self._client: Any = None

    async def encode(self, texts: Sequence[str], timeout_s: float) -> Encoded:
        """Encode texts, at least one, each batch within `timeout_s`; `EncoderUnavailable` on any fault."""
        # In a thread: whoever shares the loop is not to wait for it.
        batches = await asyncio.to_thread(lambda: list(self._tokenizer.batches(texts)))
        try:
            return Encoded.joined([(one, await self._run(one, timeout_s)) for one in batches])
        except InferenceServerException as exc:
            raise EncoderUnavailable(f"{self.model} at {self._address.url}: {exc.message()}") from exc

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _run(self, tokens: Tokens, timeout_s: float) -> Encoded:
        if self._client is None:
            self._client = self._address.client()
        inputs = as_inputs(tokens)
        result = await self._client.infer(self._name, inputs, model_version=self._version, client_timeout=timeout_s)
        return answered(result, tokens, self.model)


def as_inputs(tokens: Tokens) -> list[Any]:
    """Return tokens as Triton inputs."""
    inputs = []
    for tensor in ENCODER_INPUTS:
        array = getattr(tokens, tensor.name)
        inputs.append(triton_sync.InferInput(tensor.name, list(array.shape), tensor.dtype))
        inputs[-1].set_data_from_numpy(array)
    return inputs


def answered(result: Any, tokens: Tokens, model: str) -> Encoded:
    """Return what Triton answered, checked."""
    return checked(result.as_numpy(VECTOR), result.as_numpy(CODE), len(tokens.places), model)
