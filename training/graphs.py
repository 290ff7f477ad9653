"""From a torch module to an ONNX graph of the tensor contract, dynamic where that says so.

A graph has no trace of where or when it was made, so the same weights give the same bytes.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import onnx
import torch
from torch import nn

from inference.tensors import Tensor
from streams.errors import BadModel

OPSET, IR_VERSION = 18, 8
"""What the oldest server we run (Triton 2.45) reads."""


def graph_of(
    module: nn.Module,
    example: Sequence[torch.Tensor],
    contract: tuple[Sequence[Tensor], Sequence[Tensor]],
    name: str,
) -> onnx.ModelProto:
    """Return a module as a graph of the contract's inputs and outputs; `example` are inputs, none of size 1.

    Raises:
        BadModel: it can't be exported.
    """
    return Traced(module, example, contract, name).graph(module)


class Traced:
    """What a module computes, whatever its weights are: tracing takes seconds, putting in weights next to none."""

    def __init__(
        self,
        module: nn.Module,
        example: Sequence[torch.Tensor],
        contract: tuple[Sequence[Tensor], Sequence[Tensor]],
        name: str,
    ) -> None:
        """Trace, as `graph_of`.

        Raises:
            BadModel: it can't be exported.
        """
        self._name = name
        self._program = _program(module.eval(), example, contract, name)
        self._model = self._program.model

    def graph(self, module: nn.Module) -> onnx.ModelProto:
        """Return the graph of a module of the same class and shapes, to the byte as if it had been traced itself."""
        self._program.model = self._model.clone()
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            self._program.apply_weights(module.state_dict())
            self._program.optimize()  # only now, as it works weights in
        model: onnx.ModelProto = self._program.model_proto
        return _bare(model, self._name)


def _program(
    module: nn.Module,
    example: Sequence[torch.Tensor],
    contract: tuple[Sequence[Tensor], Sequence[Tensor]],
    name: str,
) -> Any:
    inputs, outputs = contract
    letters = {size: torch.export.Dim(size) for tensor in inputs for size in tensor.shape if isinstance(size, str)}
    shapes = tuple(
        {place: letters[size] for place, size in enumerate(tensor.shape) if isinstance(size, str)} for tensor in inputs
    )
    for logger in ("torch.onnx", "onnx_ir", "onnxscript"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                module,
                tuple(example),
                input_names=[tensor.name for tensor in inputs],
                output_names=[tensor.name for tensor in outputs],
                dynamic_shapes=shapes,
                opset_version=OPSET,
                dynamo=True,
                optimize=False,
            )
    except torch.onnx.errors.OnnxExporterError as exc:
        raise BadModel(f"the {name} cannot be exported: {str(exc).splitlines()[0]}") from exc


def _bare(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Take out what says where a node came from: paths of this machine."""
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "streamrank", "", ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name = name
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]
    del graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model
