"""The ranker that is checked in is what its manifest says, and fits the contract."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from inference.tensors import FEATURES, HEADS, RANKER_INPUTS, RANKER_OUTPUTS
from training.export import MAX_BYTES
from training.graphs import IR_VERSION, OPSET
from training.manifest import golden
from training.run import LEADS, check

FOLDER = Path(__file__).parents[2] / "triton_models" / "ranker"
MANIFEST = json.loads((FOLDER / "1" / "manifest.json").read_text("utf-8"))


def test_files_have_the_hashes_of_the_manifest() -> None:
    assert MANIFEST["sha256"]
    for name, digest in MANIFEST["sha256"].items():
        assert hashlib.sha256((FOLDER / "1" / name).read_bytes()).hexdigest() == digest


def test_it_is_small_and_fits_the_contract() -> None:
    path = FOLDER / "1" / "model.onnx"
    assert path.stat().st_size <= MAX_BYTES
    model = onnx.load(path)
    assert model.ir_version == IR_VERSION
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    for declared, values in ((RANKER_INPUTS, model.graph.input), (RANKER_OUTPUTS, model.graph.output)):
        for tensor, value in zip(declared, values, strict=True):
            kind = value.type.tensor_type
            assert value.name == tensor.name
            assert onnx.TensorProto.DataType.Name(kind.elem_type) == tensor.onnx
            assert tensor.fits(tuple(size.dim_value or size.dim_param for size in kind.shape.dim))


def test_it_was_trained_on_the_features_that_are_served() -> None:
    assert MANIFEST["features"] == MANIFEST["data"]["features"] == list(FEATURES)
    assert MANIFEST["heads"] == list(HEADS)


def test_it_answers_golden_inputs_as_when_it_was_made() -> None:
    np.testing.assert_allclose(golden(FOLDER, 1), MANIFEST["golden"], atol=1e-4)


def test_it_learned_from_lists_of_both_parts() -> None:
    data = MANIFEST["data"]
    assert data["lists"].keys() == {"train", "validation"}
    assert min(data["lists"].values()) > 1_000
    assert data["validation_ndcg"][data["best_epoch"] - 1] == max(data["validation_ndcg"])


def test_it_beats_every_baseline_with_its_whole_interval() -> None:
    evaluation = MANIFEST["evaluation"]
    results, leads = evaluation["results"], evaluation["leads"]
    assert {"popular", "heuristic"} <= set(leads) == set(results) - {"streamrank", "ceiling"}
    check(MANIFEST)
    for name, lead in leads.items():
        assert set(lead) == set(LEADS)
        difference, low, _ = lead["ndcg"]
        assert low > 0, name
        told = results["streamrank"]["ndcg"][0] - results[name]["ndcg"][0]
        assert difference == pytest.approx(told, abs=1e-5), name


@pytest.mark.parametrize("word", ["/home", "/work", "/tmp"])  # noqa: S108
def test_it_names_no_machine(word: str) -> None:
    assert word not in json.dumps(MANIFEST)
    assert word.encode() not in (FOLDER / "1" / "model.onnx").read_bytes()


def test_nothing_of_the_demo_was_learned() -> None:
    november_ms = 1_509_494_400_000  # 2017-11-01, where the demo begins to ask
    assert MANIFEST["data"]["protocol"] == {"name": "next-basket", "split_ms": november_ms, "strict": False}
