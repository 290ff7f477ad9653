"""All that can be found out about a version without a server: its files, its tensors, and what it answers.

A version that fails here never reaches Triton. What passes may still be refused by `inference.trial`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.manifest import Manifest, check_files, read_manifest
from inference.onnx_ranker import OnnxRanker
from inference.probe import TOLERANCE, check_varied, golden_inputs
from inference.tensors import RANKER_INPUTS, RANKER_OUTPUTS, Tensor
from streams.errors import BadModel, RankerUnavailable

_DTYPES: Final = {"FP32": "tensor(float)", "INT32": "tensor(int32)"}


def verify(folder: Path, version: int) -> tuple[Manifest, str]:
    """Check `<folder>/<version>`; return its manifest and the manifest's sha256.

    Raises:
        BadModel: what is wrong. A file is missing, added, or not what its hash says; the ONNX file can't be opened, has
            other tensors than the contract, answers what isn't finite or is always the same, or other than the
            manifest's golden answers.
    """
    manifest, digest = read_manifest(folder / str(version))
    check_files(folder / str(version), manifest)
    ranker = OnnxRanker(folder, version)
    _check_tensors(ranker.model, "input", ranker.inputs, RANKER_INPUTS)
    _check_tensors(ranker.model, "output", ranker.outputs, RANKER_OUTPUTS)
    missing = {tensor.name for tensor in RANKER_OUTPUTS} - {tensor.name for tensor in ranker.outputs}
    if missing:
        raise BadModel(f"{ranker.model}: it has no output {min(missing)}")
    try:
        answers = [ranker.score(inputs) for inputs in golden_inputs()]
    except RankerUnavailable as exc:
        raise BadModel(f"{exc} on golden inputs") from exc
    except Exception as exc:  # onnxruntime's errors share no base but this one
        raise BadModel(f"{ranker.model}: onnxruntime fails on golden inputs: {exc}") from exc
    check_varied(ranker.model, answers)
    _check_golden(ranker.model, answers, manifest)
    return manifest, digest


def golden(answers: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return what a manifest keeps of the answers p (B, K, H) to each batch of golden inputs: the mean of each head."""
    return np.stack([p.mean(axis=(0, 1), dtype=np.float64) for p in answers])


def _check_golden(model: str, answers: Sequence[NDArray[np.float32]], manifest: Manifest) -> None:
    told = golden(answers)
    if [len(row) for row in manifest.golden] != [told.shape[1]] * len(told):
        raise BadModel(f"{model}: its manifest has no golden answers of this contract; train it anew")
    worst = float(np.abs(told - np.array(manifest.golden)).max())
    if worst > TOLERANCE:
        raise BadModel(f"{model}: it differs from the manifest's golden answers by {worst:.2g} (limit {TOLERANCE:g})")


def _check_tensors(model: str, side: str, found: Sequence[Any], declared: tuple[Tensor, ...]) -> None:
    """Compare what the file declares, name, type and shape, with the contract. It may leave inputs out."""
    known = {tensor.name: tensor for tensor in declared}
    for one in found:
        tensor = known.get(one.name)
        if tensor is None:
            raise BadModel(f"{model}: its {side} {one.name} is not in the tensor contract")
        if one.type != _DTYPES[tensor.dtype] or not _same_shape(one.shape, tensor.shape):
            wants = f"{tensor.dtype}{list(tensor.shape)}"
            raise BadModel(f"{model}: its {side} {one.name} is {one.type}{one.shape}, the contract says {wants}")


def _same_shape(found: Sequence[int | str | None], declared: tuple[int | str, ...]) -> bool:
    """Tell whether sizes are equal where fixed; what is dynamic in the contract must be so in the file."""
    pairs = zip(found, declared, strict=False)
    return len(found) == len(declared) and all(not isinstance(n, int) or n == wanted for n, wanted in pairs)
