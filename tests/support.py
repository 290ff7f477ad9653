"""What several test folders need: waiting on a condition, a tiny ranker, and processes by their ids."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inference.manifest import MANIFEST_FILE, MODEL_FILE
from inference.onnx_ranker import OnnxRanker
from inference.probe import golden_inputs
from inference.tensors import FEATURES, HEADS, MAX_ID, RANKER_INPUTS, RANKER_OUTPUTS, Tensor, config_pbtxt
from inference.verify import golden
from streams.store.base import Change

POLL_S = 0.1


def wait_until(condition: Callable[[], object], timeout_s: float = 10.0, what: str = "the condition") -> None:
    """Poll until `condition()` is true; fail the test, naming `what`, when that takes longer than `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        time.sleep(POLL_S)


def counter_values(change: Change) -> list[tuple[str, str, int]]:
    """Return what a change of counters says as (row, field, value)."""
    return [(row.name, *pair) for row in change.rows for pair in zip(row.fields, row.values, strict=True)]


def running(pid: int) -> bool:
    """Tell whether a process exists and is not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def shared_memory(run_dir: Path) -> set[str]:
    """Return the names of the shared memory of the stack in this folder; others may run beside it."""
    prefix = f"streamrank-{hashlib.sha256(str(run_dir / 'triton').encode()).hexdigest()[:12]}-"
    folder = Path("/dev/shm")  # noqa: S108 (read only)
    return {path.name for path in folder.iterdir() if path.name.startswith(prefix)}


def write_tiny_ranker(models: Path, version: int = 1, seed: int = 1) -> Path:
    """Put a model of the real contract, one random layer and a sigmoid, into a model source; return its folder."""
    folder = models / "ranker"
    (folder / str(version)).mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config_pbtxt("ranker", "cpu"))
    onnx.save(tiny_ranker(seed), folder / str(version) / "model.onnx")
    return folder


def write_version(folder: Path, version: int, seed: int, model: onnx.ModelProto | None = None) -> Path:
    """Write a version as the training does, with a manifest that fits it, into a model's folder; return its folder."""
    place = folder / str(version)
    place.mkdir(parents=True)
    onnx.save(model or tiny_ranker(seed), place / MODEL_FILE)
    ranker = OnnxRanker(folder, version)
    answers = golden([ranker.score(inputs) for inputs in golden_inputs()]).round(6).tolist()
    write_manifest(place, answers)
    return place


def write_manifest(place: Path, answers: list[list[float]]) -> None:
    """Write a manifest of the files that are there, with these golden answers."""
    sha256 = {MODEL_FILE: hashlib.sha256((place / MODEL_FILE).read_bytes()).hexdigest()}
    manifest = {
        "golden": answers,
        "sha256": sha256,
        "evaluation": {"results": {"streamrank": {"ndcg": [0.25, 0.2, 0.3]}}},
    }
    (place / MANIFEST_FILE).write_text(json.dumps(manifest))


def tiny_ranker(seed: int) -> onnx.ModelProto:
    """Return p = sigmoid(features W), with W drawn from `seed`; it reads all the inputs."""
    weights = np.random.default_rng(seed).normal(scale=0.2, size=(len(FEATURES), len(HEADS))).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["scores"]),
        # Ids and counts say something, too: an answer that ignores one of the inputs would pass unnoticed.
        helper.make_node("Cast", ["item_ids"], ["items"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["history_ids"], ["history"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["history"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Add", ["items", "mean"], ["ids"]),
        helper.make_node("Mul", ["ids", "scale"], ["small"]),
        helper.make_node("ReduceMean", ["pairs"], ["counts"], axes=[2], keepdims=0),
        helper.make_node("ReduceMean", ["seeds"], ["asked"], axes=[1], keepdims=1),
        helper.make_node("Cast", ["item_codes"], ["told"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["told"], ["code"], axes=[2], keepdims=0),
        helper.make_node("Cast", ["history_codes"], ["past"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["past"], ["all"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["all", "first"], ["codes"]),
        helper.make_node("Add", ["counts", "asked"], ["counted"]),
        helper.make_node("Add", ["code", "codes"], ["text"]),
        helper.make_node("Mul", ["text", "hundredth"], ["hint"]),
        helper.make_node("Add", ["counted", "hint"], ["seen"]),
        helper.make_node("Mul", ["seen", "hundredth"], ["little"]),
        helper.make_node("Add", ["small", "little"], ["both"]),
        helper.make_node("Unsqueeze", ["both", "last"], ["bias"]),
        helper.make_node("Add", ["scores", "bias"], ["biased"]),
        helper.make_node("Sigmoid", ["biased"], ["p"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.array(0.1 / MAX_ID, np.float32), "scale"),
        numpy_helper.from_array(np.array(0.01, np.float32), "hundredth"),
        numpy_helper.from_array(np.array([1], np.int64), "first"),
        numpy_helper.from_array(np.array([2], np.int64), "last"),
    ]
    inputs, outputs = ([_declared(tensor) for tensor in side] for side in (RANKER_INPUTS, RANKER_OUTPUTS))
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def damaged(damage: Callable[[NDArray[np.float32]], NDArray[np.float32]], seed: int = 1) -> onnx.ModelProto:
    """Return a tiny ranker whose float weights went through `damage`."""
    model = tiny_ranker(seed)
    for weights in model.graph.initializer:
        array = numpy_helper.to_array(weights)
        if array.dtype == np.float32:
            weights.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(damage(array)), weights.name))
    return model


def _declared(tensor: Tensor) -> onnx.ValueInfoProto:
    kind = TensorProto.DataType.Value(tensor.onnx)
    return helper.make_tensor_value_info(tensor.name, kind, tensor.shape)


def listening(pid: int) -> set[str]:
    """Return the IPv4 addresses (mapped ones too), and "IPv6", on which a process accepts connections."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(str(descriptor.readlink()))
        except FileNotFoundError:
            continue
    hosts = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                host = fields[1].partition(":")[0].removeprefix("0000000000000000FFFF0000")
                quad = ".".join(map(str, reversed(bytes.fromhex(host))))
                hosts.add(quad if len(host) == 8 else "IPv6")
    return hosts
