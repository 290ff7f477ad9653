"""Writes the student as the ONNX file that Triton and onnxruntime serve, and checks that it says the same.

The file holds no trace of where or when it was made, so the same weights give the same bytes. It appears under its
name only when every check passed.
"""

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from inference.onnx_ranker import OnnxRanker
from inference.probe import golden_inputs
from inference.ranker import RankerInputs
from inference.tensors import RANKER_INPUTS, RANKER_OUTPUTS
from streams.errors import BadModel, RankerUnavailable
from training.student import Student

OPSET, IR_VERSION = 18, 8
"""What the oldest server we run (Triton 2.45) reads."""
TOLERANCE = 1e-4
"""Largest difference of a probability between torch and onnxruntime."""
MAX_BYTES = 5_000_000
MODEL_FILE = "model.onnx"


def export(student: Student, folder: Path, version: int) -> Path:
    """Write `<folder>/<version>/model.onnx` and return its path.

    Raises:
        BadModel: the file differs from the student, a row depends on its batch, or it is too large.
    """
    target = folder / str(version)
    staged = folder / f".{version}.new"
    (staged / str(version)).mkdir(parents=True, exist_ok=True)
    path = staged / str(version) / MODEL_FILE
    try:
        onnx.save(graph_of(student), path)
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


def graph_of(student: Student) -> onnx.ModelProto:
    """Return the student as an ONNX graph of the tensor contract, B and K dynamic, without metadata."""
    student.eval()
    example = list(golden_inputs())[2]
    b, k = torch.export.Dim("B"), torch.export.Dim("K")
    letters = {"B": b, "K": k}
    shapes = tuple(
        {place: letters[size] for place, size in enumerate(tensor.shape) if isinstance(size, str)}
        for tensor in RANKER_INPUTS
    )
    for name in ("torch.onnx", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            student,
            tuple(torch.from_numpy(array) for _, array in example.tensors()),
            input_names=[tensor.name for tensor in RANKER_INPUTS],
            output_names=[tensor.name for tensor in RANKER_OUTPUTS],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
        )
    if program is None:
        raise BadModel("the student cannot be exported")
    model: onnx.ModelProto = program.model_proto
    return _bare(model)


def difference(student: Student, ranker: OnnxRanker, inputs: RankerInputs) -> float:
    """Return the largest difference of a probability between torch and the file."""
    with torch.inference_mode():
        expected = student(*(torch.from_numpy(array) for _, array in inputs.tensors())).numpy()
    return float(np.abs(expected - ranker.score(inputs)).max())


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take out what says where a node came from: paths of this machine."""
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "streamrank", "", ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name = "student"
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]
    del graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model


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
