"""Each kind of bad version is refused by what is wrong with it, without a server."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.manifest import MANIFEST_FILE, MODEL_FILE
from inference.tensors import HEADS
from inference.verify import verify
from streams.errors import BadModel
from tests.support import damaged, tiny_ranker, write_manifest, write_version

ANSWERS = [[0.5] * len(HEADS)] * 4


def test_a_version_that_fits_its_manifest_passes(tmp_path: Path) -> None:
    write_version(tmp_path, 7, seed=1)
    manifest, digest = verify(tmp_path, 7)
    assert manifest.metrics == {"ndcg": 0.25}
    assert len(digest) == 64


def edited(change: Callable[[onnx.ModelProto], None]) -> onnx.ModelProto:
    model = tiny_ranker(1)
    change(model)
    return model


def renamed_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "attributes"
    for node in model.graph.node:
        node.input[:] = ["attributes" if name == "features" else name for name in node.input]


def renamed_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = model.graph.node[-1].output[0] = "score"


def other_dtype(model: onnx.ModelProto) -> None:
    position = [one.name for one in model.graph.input].index("item_ids")
    model.graph.input[position].type.tensor_type.elem_type = TensorProto.INT64


def other_shape(model: onnx.ModelProto) -> None:
    position = [one.name for one in model.graph.input].index("seeds")
    model.graph.input[position].type.tensor_type.shape.dim[1].dim_value = 11


def fixed_candidates(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 200


def one_more_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", "K", len(HEADS)]))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (renamed_input, "its input attributes is not in the tensor contract"),
        (renamed_output, "its output score is not in the tensor contract"),
        (one_more_output, "its output scores is not in the tensor contract"),
        (other_dtype, r"its input item_ids is tensor\(int64\)"),
        (other_shape, r"its input seeds is tensor\(float\)\['B', 11\]"),
        (fixed_candidates, "its input features is .*200"),
    ],
)
def test_other_tensors_than_the_contract_are_refused_by_name(
    change: Callable[[onnx.ModelProto], None], sentence: str, tmp_path: Path
) -> None:
    place = tmp_path / "7"
    place.mkdir()
    onnx.save(edited(change), place / MODEL_FILE)
    write_manifest(place, ANSWERS)
    with pytest.raises(BadModel, match=sentence):
        verify(tmp_path, 7)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [(lambda a: a * np.float32(np.nan), "not finite"), (lambda a: a * 0, "no varied probabilities")],
)
def test_nonsense_is_refused(damage: Callable[[np.ndarray], np.ndarray], sentence: str, tmp_path: Path) -> None:
    place = tmp_path / "7"
    place.mkdir()
    onnx.save(damaged(damage), place / MODEL_FILE)
    write_manifest(place, ANSWERS)
    with pytest.raises(BadModel, match=sentence):
        verify(tmp_path, 7)


def test_answers_other_than_the_golden_ones_are_refused(tmp_path: Path) -> None:
    place = write_version(tmp_path, 7, seed=1)
    told = json.loads((place / MANIFEST_FILE).read_text())["golden"]
    told[2][0] += 0.001
    write_manifest(place, told)
    with pytest.raises(BadModel, match=r"differs from the manifest's golden answers by 0\.001"):
        verify(tmp_path, 7)
    write_manifest(place, told[:-1])
    with pytest.raises(BadModel, match="no golden answers of this contract"):
        verify(tmp_path, 7)


def test_files_that_are_not_what_the_manifest_says_are_refused(tmp_path: Path) -> None:
    place = write_version(tmp_path, 7, seed=1)
    model = (place / MODEL_FILE).read_bytes()
    (place / MODEL_FILE).write_bytes(model[:-1])
    with pytest.raises(BadModel, match=r"7/model\.onnx: its sha256"):
        verify(tmp_path, 7)
    (place / MODEL_FILE).write_bytes(model)
    (place / "extra.py").write_text("")
    with pytest.raises(BadModel, match=r"7/extra\.py: it is not in the manifest"):
        verify(tmp_path, 7)
    (place / "extra.py").unlink()
    (place / MODEL_FILE).unlink()
    with pytest.raises(BadModel, match="not in the folder"):
        verify(tmp_path, 7)


def test_a_truncated_file_with_a_manifest_of_its_own_is_refused(tmp_path: Path) -> None:
    place = write_version(tmp_path, 7, seed=1)
    model = (place / MODEL_FILE).read_bytes()
    (place / MODEL_FILE).write_bytes(model[: len(model) // 2])
    write_manifest(place, ANSWERS)
    with pytest.raises(BadModel, match="onnxruntime cannot open it"):
        verify(tmp_path, 7)


@pytest.mark.parametrize(
    "manifest", [None, b"", b"{", b"[]", b'{"sha256": {}}', b'{"sha256": {}, "golden": []}', b"\xff"]
)
def test_no_manifest_or_one_that_says_too_little_is_refused(manifest: bytes | None, tmp_path: Path) -> None:
    place = write_version(tmp_path, 7, seed=1)
    (place / MANIFEST_FILE).unlink()
    if manifest is not None:
        (place / MANIFEST_FILE).write_bytes(manifest)
    with pytest.raises(BadModel, match=r"manifest\.json"):
        verify(tmp_path, 7)


def test_a_model_may_leave_inputs_out(tmp_path: Path) -> None:
    model = tiny_ranker(1)
    weights = next(w for w in model.graph.initializer if w.name == "w")
    sigmoid = helper.make_node("Sigmoid", ["scores"], ["p"])
    kept = next(node for node in model.graph.node if node.op_type == "MatMul")
    graph = helper.make_graph([kept, sigmoid], "lean", [model.graph.input[0]], list(model.graph.output), [weights])
    lean = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert numpy_helper.to_array(weights).any()
    write_version(tmp_path, 7, seed=1, model=lean)
    verify(tmp_path, 7)
