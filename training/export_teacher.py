"""Writes a cross-encoder as an ONNX file, so that lists can be judged where there is no torch; nobody is served by it.

    teacher/1/model.onnx  teacher/1/tokenizer.json

Tokens of a user's text and a candidate's read together, and its features, to log-odds a head. The version appears when
what it says was compared with torch, alone and in a batch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference import tensors
from inference.tensors import FEATURES, HEADS
from inference.texts import TOKENIZER_FILE
from streams.errors import BadModel
from training.cross_encoder import CrossEncoder
from training.cross_task import LENGTH
from training.export import MODEL_FILE
from training.graphs import graph_of
from training.quantise import in_int8, rounded
from training.staged import staged_folder

TEACHER: Final = (
    (
        tensors.Tensor("input_ids", "INT32", ("B", "L"), "tokens of the user's text, then of the candidate's"),
        tensors.Tensor("attention_mask", "INT32", ("B", "L"), "1 for a token, 0 for padding"),
        tensors.Tensor("token_type_ids", "INT32", ("B", "L"), "0 for the user's text, 1 for the candidate's"),
        tensors.Tensor("features", "FP32", ("B", len(FEATURES)), "features of the candidate, named by FEATURES"),
    ),
    (tensors.Tensor("logits", "FP32", ("B", len(HEADS)), "log-odds of each of HEADS"),),
)
TOLERANCE = 1e-3
"""Largest difference of log-odds between torch and onnxruntime."""
_PAIRS = (
    ("Espresso beans; Oat milk", "Paper filters. Brand: Alto. Kitchen > Coffee"),
    ("", "Shoes"),
    ("A pair of shoes, red; Socks of wool; A coat for the rain, with a hood", ""),
)


class _Contracted(nn.Module):
    """A cross-encoder that takes its inputs in the order of TEACHER."""

    def __init__(self, cross: CrossEncoder) -> None:
        super().__init__()
        self.cross = cross

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, features: Tensor) -> Tensor:
        z: Tensor = self.cross(input_ids, attention_mask, features, token_type_ids)
        return z


def export_teacher(cross: CrossEncoder, folder: Path, version: int, *, int8: bool = False) -> Path:
    """Write `<folder>/<version>/` and return its path; with `int8` large weights in a quarter of the bytes.

    Raises:
        BadModel: it answers what isn't finite, the file differs from it, or a pair's answer depends on its batch.
        CannotWrite: the disk is full, or the folder isn't ours to write.
    """
    contracted = _Contracted(rounded(cross) if int8 else cross).eval()
    inputs = _inputs(cross)
    with torch.inference_mode():
        expected = contracted(*inputs).numpy()
    if not np.isfinite(expected).all():
        raise BadModel("the teacher answers what isn't finite: train it anew")
    graph = graph_of(contracted, inputs, TEACHER, "teacher")
    place = folder / str(version)
    with staged_folder(place) as staged:
        onnx.save(in_int8(graph) if int8 else graph, staged / MODEL_FILE)
        (staged / TOKENIZER_FILE).write_text(cross.language.tokenizer.backend_tokenizer.to_str(), "utf-8")
        _check(staged / MODEL_FILE, inputs, expected)
    return place


def answers(path: Path, inputs: Sequence[Tensor]) -> NDArray[np.float32]:
    """Return what the file says of inputs in the order of TEACHER, (B, H)."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    fed = {one.name: tensor.numpy() for one, tensor in zip(TEACHER[0], inputs, strict=True)}
    said: NDArray[np.float32] = session.run(None, fed)[0]
    return said


def _inputs(cross: CrossEncoder) -> list[Tensor]:
    """Return pairs of different lengths, with drawn features."""
    users, items = map(list, zip(*_PAIRS, strict=True))
    read = cross.language.tokens(users, items, length=LENGTH)
    kinds = read.get("token_type_ids", torch.zeros_like(read["input_ids"]))
    drawn = torch.randn(len(_PAIRS), len(FEATURES), generator=torch.Generator().manual_seed(1))
    return [read["input_ids"].int(), read["attention_mask"].int(), kinds.int(), drawn]


def _check(path: Path, inputs: list[Tensor], expected: NDArray[np.float32]) -> None:
    """Compare the file with what torch says, and pairs alone with pairs together.

    Raises:
        BadModel: they differ.
    """
    said = answers(path, inputs)
    alone = np.concatenate([answers(path, [tensor[n : n + 1] for tensor in inputs]) for n in range(len(said))])
    for what, other in (("differs from torch", expected), ("depends on its batch", alone)):
        worst = float(np.abs(said - other).max())
        if not worst <= TOLERANCE:
            raise BadModel(f"{path.name}: a teacher {what}, by {worst:.2g} (limit {TOLERANCE:g})")
