"""Does the server answer what the file says? Golden inputs through Triton and through onnxruntime, compared.

A version is served to people only after `probe` returned. It exists because a Python backend can answer
garbage with every status green (see triton_models/backends/streamrank_onnx/model.py).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from inference.onnx_encoder import OnnxEncoder
from inference.onnx_ranker import OnnxRanker
from inference.ranker import RankerInputs
from inference.tensors import CODE_LEVELS, CODES, FEATURES, HISTORY, MAX_BATCH_SIZE, MAX_ID, SEEDS
from inference.triton_encoder import answered, as_inputs
from inference.triton_ranker import TritonAddress, decode, encode
from streams.errors import BadModel, EncoderUnavailable, RankerUnavailable

# Largest difference in a probability that counts as agreement. Another kernel rounds; a wrong tensor
# differs by more.
TOLERANCE: Final = 1e-5
# (B, K) of the golden inputs: the smallest, a usual request, an odd batch, the largest batch.
SHAPES: Final = ((1, 1), (1, 200), (3, 37), (MAX_BATCH_SIZE, 20))
# Short ones, which share a batch, and one that is cut off.
GOLDEN_TEXTS: Final = ("a", "milk, 1 l", "espresso beans, dark roast", "a pair of running shoes for the rain " * 6)


def golden_inputs(seed: int = 7) -> Iterator[RankerInputs]:
    """Yield the same seeded batches every time, one per entry of `SHAPES`, with some padding in each."""
    generator, drawn = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    for batch, candidates in SHAPES:
        features = generator.normal(size=(batch, candidates, len(FEATURES))).astype(np.float32)
        pairs = generator.exponential(2.0, size=(batch, candidates, 2 * SEEDS)).astype(np.float32)
        pairs *= generator.integers(0, 2, size=pairs.shape)
        seeds = generator.exponential(20.0, size=(batch, SEEDS)).astype(np.float32)
        items = generator.integers(0, MAX_ID, size=(batch, candidates), dtype=np.int32)
        history = generator.integers(0, MAX_ID, size=(batch, HISTORY), dtype=np.int32)
        history[:, HISTORY // 2 :] *= generator.integers(0, 2, size=(batch, 1), dtype=np.int32)
        codes, past = (
            drawn.integers(0, CODES + 1, (batch, size, CODE_LEVELS), np.int32) for size in (candidates, HISTORY)
        )
        yield RankerInputs(features, pairs, seeds, items, history, codes, past * (history > 0)[..., None])


def probe_encoder(address: TritonAddress, version: int, folder: Path, timeout_s: float = 10.0) -> None:
    """Compare the server's `encoder`/`version` with the files in `folder` on GOLDEN_TEXTS.

    Raises:
        BadModel: they differ, or the server failed.
    """
    reference = OnnxEncoder(folder, version)
    client = address.sync_client()
    try:
        for tokens in reference.batches(GOLDEN_TEXTS):
            expected = reference.run(tokens)
            inputs = as_inputs(tokens)
            result = client.infer("encoder", inputs, model_version=str(version), client_timeout=timeout_s)
            worst = float(np.abs(answered(result, tokens, reference.model).vectors - expected.vectors).max())
            if worst > TOLERANCE:
                raise BadModel(f"{reference.model}: the server differs from model.onnx by {worst:.2g}")
    except (InferenceServerException, EncoderUnavailable) as exc:
        raise BadModel(f"{reference.model}: the server failed on golden texts: {exc}") from exc
    finally:
        client.close()


def probe(address: TritonAddress, model: str, version: int, folder: Path, timeout_s: float = 10.0) -> None:
    """Compare the server's `model`/`version` with the file in `folder`; raise `BadModel` with the difference.

    `folder` is the model's folder (it holds `<version>/model.onnx`); `timeout_s` bounds each call.
    """
    reference = OnnxRanker(folder, version)
    name = f"{model}/{version}"
    answers = []
    client = address.sync_client()
    try:
        for inputs in golden_inputs():
            expected = reference.score(inputs)
            result = client.infer(model, encode(inputs), model_version=str(version), client_timeout=timeout_s)
            p = decode(result, inputs, name)
            worst = float(np.abs(p - expected).max())
            if worst > TOLERANCE:
                raise BadModel(f"{name}: the server differs from model.onnx by {worst:.2g} (limit {TOLERANCE:g})")
            answers.append(p)
    except (InferenceServerException, RankerUnavailable) as exc:
        raise BadModel(f"{name}: the server failed on golden inputs: {exc}") from exc
    finally:
        client.close()
    check_varied(name, answers)


def check_varied(model: str, answers: Sequence[NDArray[np.float32]]) -> None:
    """Raise `BadModel` unless all answers p (B, K, H) are in [0, 1] and tell candidates of a request apart."""
    lowest, highest = min(float(p.min()) for p in answers), max(float(p.max()) for p in answers)
    if not (0 <= lowest and highest <= 1 and any(np.ptp(p, axis=1).max() > 0 for p in answers)):
        raise BadModel(f"{model}: answers lie in [{lowest:g}, {highest:g}], which are no varied probabilities")
