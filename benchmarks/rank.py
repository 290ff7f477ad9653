"""What the shipped ranker adds to a call of Triton, beside a model of the same tensors that does nothing.

Both are served by one embedded Triton and called in turn, so that what else the machine does slows both alike.
"""

import shutil
import time
from pathlib import Path

import onnx
from onnx import helper

from benchmarks.floors import CANDIDATES, random_inputs
from benchmarks.report import Budget, Section, percentile
from inference.manifest import MODEL_FILE
from inference.tensors import HEADS, config_pbtxt
from inference.triton_ranker import TritonAddress, decode, encode
from streams.embedded.stack import Stack
from streams.settings import SHIPPED_MODELS

CALLS, WARM_CALLS = 2_000, 200
OVER_BARE_MS = 1.0
RANKER, BARE = "ranker", "bare"


def measure(folder: Path, command: str) -> list[Section]:
    """Serve both, and call them in turn."""
    models = folder / "models"
    shutil.copytree(SHIPPED_MODELS / RANKER, models / RANKER)
    write_bare(models / BARE)
    with Stack(folder / "stack", models) as stack:
        times = _in_turn(stack.addresses.triton)
    section = Section(f"ranking {CANDIDATES} candidates", command)
    note = f"gRPC, blocking, 1 x {CANDIDATES} candidates, {CALLS:,} calls, answer checked"
    section.floor("a model that does nothing, p50", percentile(times[BARE], 0.5), "ms", note)
    section.add("the shipped ranker, p50", percentile(times[RANKER], 0.5), "ms")
    over = percentile(times[RANKER], 0.5) - percentile(times[BARE], 0.5)
    section.add("above it", over, "ms", Budget("at most", OVER_BARE_MS))
    section.add("the shipped ranker / it", percentile(times[RANKER], 0.5) / percentile(times[BARE], 0.5), "times")
    return [section]


def write_bare(folder: Path) -> None:
    """Write a model with the tensors of the shipped ranker, whose every p is 0."""
    model = onnx.load(SHIPPED_MODELS / RANKER / "1" / MODEL_FILE)
    constants = [
        helper.make_tensor("starts", onnx.TensorProto.INT64, [1], [0]),
        helper.make_tensor("ends", onnx.TensorProto.INT64, [1], [len(HEADS)]),
        helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [2]),
        helper.make_tensor("zero", onnx.TensorProto.FLOAT, [], [0.0]),
    ]
    nodes = [
        helper.make_node("Slice", ["features", "starts", "ends", "axes"], ["some"]),
        helper.make_node("Mul", ["some", "zero"], ["p"]),
    ]
    graph = helper.make_graph(nodes, BARE, model.graph.input, model.graph.output, constants)
    bare = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config_pbtxt(BARE, "cpu"))
    onnx.save(bare, folder / "1" / MODEL_FILE)


def _in_turn(address: str) -> dict[str, list[float]]:
    """Return the sorted times of each model's calls, in ms."""
    client, inputs = TritonAddress(address).sync_client(), random_inputs()
    times: dict[str, list[float]] = {RANKER: [], BARE: []}
    for call in range(WARM_CALLS + CALLS):
        for name, took in times.items():
            began = time.perf_counter()
            decode(client.infer(name, encode(inputs)), inputs, name)
            if call >= WARM_CALLS:
                took.append((time.perf_counter() - began) * 1e3)
    client.close()
    return {name: sorted(took) for name, took in times.items()}
