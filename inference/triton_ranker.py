"""The ranker behind Triton: one version of one model, over gRPC.

Every request names its version, so loading or pointing elsewhere never changes what this object serves. A
batch above Triton's limit is split and put together again here. Whatever goes wrong is `RankerUnavailable`.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tritonclient.grpc as triton_sync
from numpy.typing import NDArray
from tritonclient.grpc import aio as triton_aio
from tritonclient.utils import InferenceServerException

from inference.ranker import Ranked, RankerInputs, checked
from inference.tensors import MAX_BATCH_SIZE, RANKER_OUTPUTS
from streams.errors import RankerUnavailable

# How soon a lost connection is tried again. gRPC's own default grows to two minutes, long after Triton is
# back.
_RECONNECT_MS = (100, 1_000)
# How long a blocking client may take to connect. It is new for each command, and a server that loads a model is busy.
_CONNECT_MS = 5_000


@dataclass(frozen=True, slots=True)
class TritonAddress:
    """Where Triton answers gRPC, and with which certificates (PEM files; none: the system's roots)."""

    url: str  # host:port
    ssl: bool = False
    root_certificates: str | None = None
    private_key: str | None = field(default=None, repr=False)
    certificate_chain: str | None = None

    def sync_client(self) -> Any:
        """Return a blocking client, for probes and the control API."""
        return triton_sync.InferenceServerClient(**self._arguments(_CONNECT_MS))

    def client(self) -> Any:
        """Return an asyncio client; call it in the loop that will use it."""
        return triton_aio.InferenceServerClient(**self._arguments(_RECONNECT_MS[0]))

    def _arguments(self, connect_ms: int) -> dict[str, Any]:
        first, most = _RECONNECT_MS
        return {
            "url": self.url,
            "ssl": self.ssl,
            "root_certificates": self.root_certificates,
            "private_key": self.private_key,
            "certificate_chain": self.certificate_chain,
            "channel_args": [
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
                ("grpc.initial_reconnect_backoff_ms", first),
                ("grpc.min_reconnect_backoff_ms", connect_ms),
                ("grpc.max_reconnect_backoff_ms", most),
            ],
        }


def encode(inputs: RankerInputs) -> list[Any]:
    """Return the batch as Triton inputs."""
    encoded = []
    for tensor, array in inputs.tensors():
        encoded.append(triton_sync.InferInput(tensor.name, list(array.shape), tensor.dtype))
        encoded[-1].set_data_from_numpy(array)
    return encoded


def decode(result: Any, inputs: RankerInputs, model: str) -> NDArray[np.float32]:
    """Return the answer's p (B, K, H), checked for shape and finiteness."""
    return checked(result.as_numpy(RANKER_OUTPUTS[0].name), inputs, model)


class TritonRanker:
    """Ranks with one version of a model in Triton; versions made by `at` share one connection.

    Belongs to the event loop that first ranks with it.
    """

    def __init__(self, address: TritonAddress, version: int, model: str = "ranker", client: Any = None) -> None:
        """Connect lazily: a Triton that is away is found out by the first `rank`."""
        self._address = address
        self._version = str(version)
        self._name = model
        self._client = client
        self.model = f"{model}/{version}"

    def at(self, version: int) -> "TritonRanker":
        """Return a ranker of another version over the same connection."""
        return TritonRanker(self._address, version, self._name, self._connected())

    async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
        """Score the batch, each MAX_BATCH_SIZE requests of it within `timeout_s`; `RankerUnavailable` on any fault.

        One part after the other: Triton runs one instance, so sending all at once would only queue there.
        """
        try:
            parts = [await self._rank_part(part, timeout_s) for part in inputs.chunks(MAX_BATCH_SIZE)]
        except TimeoutError as exc:
            raise RankerUnavailable(f"{self.model} did not answer within {timeout_s * 1e3:.0f} ms") from exc
        except InferenceServerException as exc:
            raise RankerUnavailable(f"{self.model} at {self._address.url}: {exc.message()}") from exc
        return Ranked(parts[0] if len(parts) == 1 else np.concatenate(parts), self.model)

    async def close(self) -> None:
        """Close the connection, for all versions that share it."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _rank_part(self, inputs: RankerInputs, timeout_s: float) -> NDArray[np.float32]:
        async with asyncio.timeout(timeout_s):
            result = await self._connected().infer(
                self._name, encode(inputs), model_version=self._version, client_timeout=timeout_s
            )
        return decode(result, inputs, self.model)

    def _connected(self) -> Any:
        if self._client is None:
            self._client = self._address.client()
        return self._client
