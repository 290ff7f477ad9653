"""The tensor contract between Streamrank and its models: names, dtypes, shapes and units, declared once.

Who writes from it: the worker (fills `RANKER_INPUTS` and `ENCODER_INPUTS`), the training export (names and checks
the ONNX graphs) and `config_pbtxt` (the text Triton reads). After a change here:

    python -m inference.tensors > triton_models/ranker/config.pbtxt

Shape letters: B requests (or texts), K candidates, T history, F features, H heads, C levels of a semantic code,
L tokens, D width of a text vector. B, K, L and D are dynamic, the rest is fixed. Invariant: every tensor is
batch-first, and a row's answer does not depend on the other rows of its batch.
"""

import sys
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

Dtype = Literal["FP32", "INT32"]
Target = Literal["cpu", "gpu"]

# Order is the contract: a trained ranker reads column f as FEATURES[f]. Changing it means retraining.
# What each is, and its unit: `streams/features/encode.py`.
FEATURES: Final[tuple[str, ...]] = (
    "own", "own_bought", "own_rate", "own_days", "own_place", "own_share", "own_due", "own_gap",
    "own_touches", "own_clicked", "own_carted", "own_liked", "own_uncarted",
    "pair_total", "pair_last", "pair_second", "pair_third", "pair_best", "pair_hits",
    "popular", "trend", "rising", "fused",
    "category_0", "category_1", "category_2", "brand", "price", "price_gap", "new",
    "user_baskets", "user_items", "user_away", "kind_similar", "kind_bundle", "kind_search",
)  # fmt: skip
HEADS: Final[tuple[str, ...]] = ("click", "cart", "purchase")
# Item ids come as hashes from 1 to MAX_ID, so a network is free to fold them into tables of its own; 0 is padding.
MAX_ID: Final = 2**31 - 1
# Items from which co-visitation starts: for most requests the user's latest. More: a longer reach, larger requests.
SEEDS: Final = 10
# Items of history a ranker sees, newest first. More: a longer memory, and a larger request.
HISTORY: Final = 20
# A semantic code: so many numbers, each from 1 to CODES, coarse first; 0 where nothing is known of an item's text.
# More levels or codes: finer, and larger tables in the student.
CODE_LEVELS: Final = 3
CODES: Final = 256
# Requests in one call to Triton; the client splits larger batches. More: fewer calls, longer ones; at 64 of 200
# candidates a row was seen to cost twice what it costs at 32.
MAX_BATCH_SIZE: Final = 32
# The embedded server's backend: a folder of this name beside Triton's Python backend.
CPU_BACKEND: Final = "streamrank_onnx"

# The call before the first one: requests, and what a dynamic size is in it.
_WARM_BATCH: Final = 8
_WARM_SIZE: Final = 200

_NUMPY: Final[dict[Dtype, type[np.generic]]] = {"FP32": np.float32, "INT32": np.int32}
_ONNX: Final[dict[Dtype, str]] = {"FP32": "FLOAT", "INT32": "INT32"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One named tensor; `shape` counts the batch: a letter where dynamic, a number where fixed."""

    name: str
    dtype: Dtype
    shape: tuple[int | str, ...]
    doc: str

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy dtype of the values."""
        return np.dtype(_NUMPY[self.dtype])

    @property
    def triton(self) -> str:
        """The dtype as `config.pbtxt` spells it."""
        return f"TYPE_{self.dtype}"

    @property
    def onnx(self) -> str:
        """The dtype as the name of a member of `onnx.TensorProto`."""
        return _ONNX[self.dtype]

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape as `config.pbtxt` wants it: without the batch, -1 where it is dynamic."""
        return tuple(size if isinstance(size, int) else -1 for size in self.shape[1:])

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Tell whether an array of `shape` has this tensor's rank and fixed sizes."""
        pairs = zip(shape, self.shape, strict=False)
        return len(shape) == len(self.shape) and all(isinstance(w, str) or n == w for n, w in pairs)


RANKER_INPUTS: Final = (
    Tensor(
        "features",
        "FP32",
        ("B", "K", len(FEATURES)),
        "features of a candidate for its user, named by FEATURES",
    ),
    Tensor(
        "pairs",
        "FP32",
        ("B", "K", 2 * SEEDS),
        "how often, and closely, the candidate came after each seed, and before it (the last SEEDS); in thousandths",
    ),
    Tensor("seeds", "FP32", ("B", SEEDS), "decayed count of the signals of each seed, the most telling first"),
    Tensor("item_ids", "INT32", ("B", "K"), "hashed id of the candidate, 1 to MAX_ID; 0 is padding"),
    Tensor("history_ids", "INT32", ("B", HISTORY), "hashed ids of the user's last items, newest first; 0 is padding"),
    Tensor("item_codes", "INT32", ("B", "K", CODE_LEVELS), "semantic code of the candidate, 1 to CODES; 0 is unknown"),
    Tensor("history_codes", "INT32", ("B", HISTORY, CODE_LEVELS), "semantic codes of the user's last items"),
)
RANKER_OUTPUTS: Final = (
    Tensor(
        "p",
        "FP32",
        ("B", "K", len(HEADS)),
        "probability in [0, 1] that the candidate, if seen, gets each of HEADS",
    ),
)
ENCODER_INPUTS: Final = (
    Tensor("input_ids", "INT32", ("B", "L"), "tokens of a text, by the vocabulary that lies beside the model"),
    Tensor("attention_mask", "INT32", ("B", "L"), "1 for a token, 0 for padding"),
)
ENCODER_OUTPUTS: Final = (
    Tensor("vector", "FP32", ("B", "D"), "the text as a vector of length 1: the nearer, the more alike"),
    Tensor("codes", "INT32", ("B", CODE_LEVELS), "its semantic code, 1 to CODES, coarse first"),
)
RANKER: Final = (RANKER_INPUTS, RANKER_OUTPUTS)
ENCODER: Final = (ENCODER_INPUTS, ENCODER_OUTPUTS)
_CONTRACTS: Final[dict[str, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]] = {"encoder": ENCODER}

# Where a model runs. cpu: the embedded server. gpu: a stock Triton image with TensorRT behind onnxruntime.
_TARGETS: Final[dict[Target, tuple[str, str]]] = {
    "cpu": (CPU_BACKEND, "instance_group [ { kind: KIND_CPU, count: 1 } ]\n"),
    "gpu": (
        "onnxruntime",
        "instance_group [ { kind: KIND_GPU, count: 1 } ]\n"
        'optimization { execution_accelerators { gpu_execution_accelerator : [ { name : "tensorrt"\n'
        '  parameters { key: "precision_mode" value: "FP32" }\n'
        '  parameters { key: "max_workspace_size_bytes" value: "1073741824" } } ] } }\n',
    ),
}


def _entries(kind: str, tensors: tuple[Tensor, ...]) -> str:
    rows = (f'  {{ name: "{t.name}", data_type: {t.triton}, dims: {list(t.dims)} }}' for t in tensors)
    return f"{kind} [\n" + ",\n".join(rows) + "\n]\n"


def _warm_up(tensors: tuple[Tensor, ...]) -> str:
    """Have Triton call a version before anyone is sent to it: the first call takes as long as twenty usual ones.

    Without, each load was felt, since it makes all versions anew.
    """
    sizes = {t.name: [_WARM_SIZE if size < 0 else size for size in t.dims] for t in tensors}
    rows = "".join(
        f'  inputs {{ key: "{t.name}" value {{ data_type: {t.triton}, dims: {sizes[t.name]}, zero_data: true }} }}\n'
        for t in tensors
    )
    return f'model_warmup [ {{ name: "usual", batch_size: {_WARM_BATCH}\n{rows}}} ]\n'


def config_pbtxt(model_name: str, target: Target) -> str:
    """Return Triton's `config.pbtxt` for the encoder, or, under any other name, for a ranker, which users wait for.

    Both targets take the same ONNX file. All versions in the folder are served, because requests name theirs and a
    swap must never unload the other.
    """
    backend, placement = _TARGETS[target]
    inputs, outputs = _CONTRACTS.get(model_name, RANKER)
    return (
        "# Generated from inference/tensors.py; do not edit.\n"
        f'name: "{model_name}"\n'
        f'backend: "{backend}"\n'
        f"max_batch_size: {MAX_BATCH_SIZE}\n"
        "version_policy { all {} }\n"
        + _entries("input", inputs)
        + _entries("output", outputs)
        + placement
        + ("" if model_name in _CONTRACTS else _warm_up(inputs))
    )


if __name__ == "__main__":
    sys.stdout.write(config_pbtxt("ranker", "cpu"))
