"""Weights in eight bits, computed with in full: a quarter of the bytes, and every row's answer still its own.

    w ~ s q,    s = max |w| / 127 for each row of a table and each output of a layer,    q = round(w / s)

Only weights are quantised (no activation is, whose range would depend on the batch), so there is nothing to calibrate:
Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018. `rounded` does to a torch
module what `in_int8` does to its graph, so the one can be compared with the other.
"""

import copy
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

LEAST_VALUES = 16_384
"""Weights with fewer values stay as they are: they are no part of the size, and may be of the accuracy."""
LEAST_WIDTH = 8
"""So do rows of fewer values: a scale for each would eat up what is saved."""
Module = TypeVar("Module", bound=nn.Module)


def rounded(module: Module) -> Module:
    """Return a copy whose large tables and layers hold only what eight bits can say."""
    made = copy.deepcopy(module)
    with torch.no_grad():
        for part in made.modules():
            if isinstance(part, nn.Embedding | nn.Linear) and _is_large(tuple(part.weight.shape)):
                codes, scale = _quantised(part.weight.numpy(), axis=1)
                part.weight.copy_(torch.from_numpy(codes * scale))
    return made


def in_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph whose large tables (read by rows) and layers (of a product) are stored in eight bits."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    weights = {one.name: one for one in graph.initializer if one.data_type == TensorProto.FLOAT and _is_large(one.dims)}
    for name, weight in weights.items():
        readers = [node for node in graph.node if name in node.input]
        if all(node.op_type == "Gather" and node.input[0] == name for node in readers):
            _store(graph, weight, axis=1)
            for node in readers:
                _replace(graph, node, _gathered(node, name))
        elif all(node.op_type == "MatMul" and node.input[1] == name for node in readers):
            _store(graph, weight, axis=0)
            first = list(graph.node).index(readers[0])
            graph.node.insert(first, _whole(name))
    onnx.checker.check_model(made, full_check=True)
    return made


def _is_large(shape: "tuple[int, ...]") -> bool:
    return len(shape) == 2 and int(np.prod(shape)) >= LEAST_VALUES and min(shape) >= LEAST_WIDTH


def _quantised(weight: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return the eight bits of a weight, and the scale of what lies along `axis`, with that axis kept."""
    most = np.abs(weight).max(axis=axis, keepdims=True)
    scale = np.where(most > 0, most / np.float32(127), np.float32(1)).astype(np.float32)
    return np.round(weight / scale).astype(np.int8), scale


def _store(graph: onnx.GraphProto, weight: TensorProto, axis: int) -> None:
    """Put codes and scale in the place of a weight."""
    name = weight.name
    codes, scale = _quantised(numpy_helper.to_array(weight), axis)
    weight.CopyFrom(numpy_helper.from_array(codes, f"{name}.int8"))
    graph.initializer.append(numpy_helper.from_array(scale if axis else scale[0], f"{name}.scale"))


def _gathered(node: onnx.NodeProto, name: str) -> Iterator[onnx.NodeProto]:
    """Yield what gathers rows of a table and only then makes them floats."""
    (out,), ids = node.output, node.input[1]
    yield helper.make_node("Gather", [f"{name}.int8", ids], [f"{out}.int8"], axis=0)
    yield helper.make_node("Cast", [f"{out}.int8"], [f"{out}.codes"], to=TensorProto.FLOAT)
    yield helper.make_node("Gather", [f"{name}.scale", ids], [f"{out}.scale"], axis=0)
    yield helper.make_node("Mul", [f"{out}.codes", f"{out}.scale"], [out])


def _whole(name: str) -> onnx.NodeProto:
    """Return what makes a whole weight floats again, under its old name."""
    return helper.make_node("DequantizeLinear", [f"{name}.int8", f"{name}.scale"], [name], axis=1)


def _replace(graph: onnx.GraphProto, node: onnx.NodeProto, by: Iterator[onnx.NodeProto]) -> None:
    place = list(graph.node).index(node)
    graph.node.remove(node)
    for offset, one in enumerate(by):
        graph.node.insert(place + offset, one)
