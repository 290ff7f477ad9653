"""Writes the student as the ONNX file that Triton and onnxruntime serve, and checks that it says the same.

It appears under its name only when every check passed.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from inference.onnx_ranker import OnnxRanker
from inference.probe import golden_inputs
from inference.ranker import RankerInputs
from inference.tensors import RANKER
from streams.errors import BadModel, RankerUnavailable
from training.graphs import Traced
from training.quantise import in_int8, rounded
from training.student import Student

TOLERANCE = 1e-4
"""Largest difference of a probability between torch and onnxruntime."""
MAX_BYTES = 5_000_000
MODEL_FILE = "model.onnx"
_TRACED: dict[tuple[tuple[str, tuple[int, ...]], ...], Traced] = {}
"""By the names and shapes of a student's weights."""


def export(student: Student, folder: Path, version: int, *, int8: bool = False) -> Path:
    """Write `<folder>/<version>/model.onnx` and return its path; with `int8` its tables in a quarter of the bytes.

    Raises:
        BadModel: the file differs from the student, a row depends on its batch, or it is too large.
    """
    target = folder / str(version)
    staged = folder / f".{version}.new"
    (staged / str(version)).mkdir(parents=True, exist_ok=True)
    path = staged / str(version) / MODEL_FILE
    if int8:
        student = rounded(student)
    try:
        graph = student_graph(student)
        onnx.save(in_int8(graph) if int8 else graph, path)
        _check_size(path)
        ranker = OnnxRanker(staged, version)
        for inputs in golden_inputs():
            _check_agreement(student, ranker, inputs)
            _check_independence(ranker, inputs)
    except RankerUnavailable as exc:
        raise BadModel(f"the exported student fails on golden inputs: {exc}") from exc
    else:
        target.mkdir(exist_ok=True)
        return path.rename(target / MODEL_FILE)
    finally:
        path.unlink(missing_ok=True)
        path.parent.rmdir()
        staged.rmdir()


def student_graph(student: Student) -> onnx.ModelProto:
    """Return the student as an ONNX graph of the tensor contract, B and K dynamic; each shape is traced once."""
    shape = tuple((name, tuple(tensor.shape)) for name, tensor in student.state_dict().items())
    if shape not in _TRACED:
        example = [torch.from_numpy(array) for _, array in list(golden_inputs())[2].tensors()]
        _TRACED[shape] = Traced(student, example, RANKER, "student")
    return _TRACED[shape].graph(student)


def difference(student: Student, ranker: OnnxRanker, inputs: RankerInputs) -> float:
    """Return the largest difference of a probability between torch and the file."""
    with torch.inference_mode():
        expected = student(*(torch.from_numpy(array) for _, array in inputs.tensors())).numpy()
    return float(np.abs(expected - ranker.score(inputs)).max())


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BadModel(f"{path.name}: {size:,} bytes, more than {MAX_BYTES:,}")


def _check_agreement(student: Student, ranker: OnnxRanker, inputs: RankerInputs) -> None:
    worst = difference(student, ranker, inputs)
    if worst > TOLERANCE:
        raise BadModel(f"{ranker.model}: differs from torch by {worst:.2g} (limit {TOLERANCE:g})")


def _check_independence(ranker: OnnxRanker, inputs: RankerInputs) -> None:
    """Score the first row alone, and its first candidate alone, and compare with the whole batch."""
    whole = ranker.score(inputs)
    row = next(inputs.chunks(1))
    alone: NDArray[np.float32] = ranker.score(row)[0]
    worst = max(np.abs(whole[0] - alone).max(), np.abs(whole[0, :1] - ranker.score(row.first(1))[0]).max())
    if worst > TOLERANCE / 10:
        raise BadModel(f"{ranker.model}: a row depends on its batch, by {worst:.2g}")
