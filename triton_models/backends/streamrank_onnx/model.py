"""Runs `<model>/<version>/model.onnx` with onnxruntime inside the Python backend of the embedded Triton.

Triton loads this one file for every version of every model whose config names `backend: "streamrank_onnx"`,
so a version folder holds nothing but its `model.onnx`. Imports nothing of Streamrank: it runs in Triton's
own processes.

Invariant: tensors cross by DLPack only. With numpy 2 this backend's `as_numpy()` reads garbage and
`Tensor(name, array)` sends zero bytes, both without an error.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb

# Threads of one session. More shortens a large batch, and takes the core from the worker beside it.
THREADS = 1
# What numpy 2 prints for each tensor, harmlessly, when it frees a capsule of the backend's older DLPack.
HARMLESS = "PyCapsule_GetPointer"


def _drop_harmless(unraisable: "sys.UnraisableHookArgs") -> None:
    if HARMLESS not in str(unraisable.exc_value):
        sys.__unraisablehook__(unraisable)


class TritonPythonModel:
    """One version of one model; Triton gives each its own process."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the ONNX file of `args["model_version"]`; what it raises is why the load failed."""
        sys.unraisablehook = _drop_harmless
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]
        self._outputs = [tensor.name for tensor in self._session.get_outputs()]

    def execute(self, requests: list["pb.InferenceRequest"]) -> list["pb.InferenceResponse"]:
        """Answer each request by itself, so that a row never depends on who else asked at that moment."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: "pb.InferenceRequest") -> "pb.InferenceResponse":
        feeds = {name: np.from_dlpack(pb.get_input_tensor_by_name(request, name)) for name in self._inputs}
        values = self._session.run(self._outputs, feeds)
        pairs = zip(self._outputs, values, strict=True)
        return pb.InferenceResponse([pb.Tensor.from_dlpack(n, np.ascontiguousarray(v)) for n, v in pairs])
