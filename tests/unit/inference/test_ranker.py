import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from inference.onnx_ranker import OnnxRanker
from inference.probe import golden_inputs
from inference.ranker import RankerInputs, checked
from inference.repository import install, versions
from inference.tensors import HEADS, RANKER_INPUTS
from streams.errors import BadModel, RankerUnavailable
from tests.support import tiny_ranker, write_tiny_ranker


def test_arrays_that_do_not_fit_the_contract_are_refused_by_name() -> None:
    good = RankerInputs.zeros(2, 3)
    for tensor, array in good.tensors():
        with pytest.raises(ValueError, match=f"^{tensor.name}: got float64"):
            replace(good, **{tensor.name: array.astype(np.float64)})
        with pytest.raises(ValueError, match=f"^{tensor.name}: got "):
            replace(good, **{tensor.name: array[0]})
        if isinstance(tensor.shape[-1], int):
            with pytest.raises(ValueError, match=f"^{tensor.name}: got "):
                replace(good, **{tensor.name: array[..., 1:]})


@pytest.mark.parametrize("name", [tensor.name for tensor in RANKER_INPUTS])
def test_arrays_of_another_batch_are_refused(name: str) -> None:
    good = RankerInputs.zeros(2, 3)
    with pytest.raises(ValueError, match="disagree about B or K"):
        replace(good, **{name: getattr(good, name)[:1]})


@pytest.mark.parametrize("name", [tensor.name for tensor in RANKER_INPUTS if "K" in tensor.shape])
def test_arrays_of_other_candidates_are_refused(name: str) -> None:
    good = RankerInputs.zeros(2, 3)
    with pytest.raises(ValueError, match="disagree about B or K"):
        replace(good, **{name: getattr(good, name)[:, 1:]})


def test_chunks_are_the_batch_in_order() -> None:
    batch = next(one for one in golden_inputs() if len(one) > 10)
    parts = list(batch.chunks(10))
    assert [len(part) for part in parts[:-1]] == [10] * (len(parts) - 1)
    for tensor, whole in batch.tensors():
        assert np.array_equal(np.concatenate([getattr(part, tensor.name) for part in parts]), whole)


@pytest.mark.parametrize(
    "p", [None, np.zeros((2, 3), np.float32), np.zeros((2, 3, 3)), np.full((2, 3, len(HEADS)), np.nan, np.float32)]
)
def test_an_answer_of_another_shape_or_not_finite_is_no_answer(p: np.ndarray | None) -> None:
    with pytest.raises(RankerUnavailable, match="ranker/9 answered"):
        checked(p, RankerInputs.zeros(2, 3), "ranker/9")


def test_onnx_ranks_every_candidate_and_says_who(tmp_path: Path) -> None:
    ranker = OnnxRanker(write_tiny_ranker(tmp_path), 1)
    for batch in golden_inputs():
        ranked = asyncio.run(ranker.rank(batch, 1.0))
        assert ranked.model == "ranker/1"
        assert ranked.p.shape == (*batch.item_ids.shape, len(HEADS))
        assert ((ranked.p > 0) & (ranked.p < 1)).all()


def test_a_file_that_is_no_model_is_refused_with_its_path(tmp_path: Path) -> None:
    folder = write_tiny_ranker(tmp_path)
    (folder / "1" / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(BadModel, match=r"ranker/1/model\.onnx"):
        OnnxRanker(folder, 1)


def test_a_file_that_fails_while_it_runs_is_one_sentence(tmp_path: Path) -> None:
    folder = write_tiny_ranker(tmp_path)
    model = onnx.load(folder / "1" / "model.onnx")
    for weights in model.graph.initializer:
        if weights.data_type != onnx.TensorProto.FLOAT:  # axes and shapes, now of other tensors
            weights.CopyFrom(onnx.numpy_helper.from_array(0 * onnx.numpy_helper.to_array(weights), weights.name))
    onnx.save(model, folder / "1" / "model.onnx")
    ranker = OnnxRanker(folder, 1)
    with pytest.raises(RankerUnavailable, match=r"^ranker/1 failed in onnxruntime: "):
        [ranker.score(batch) for batch in golden_inputs()]


def test_install_replaces_a_folder_and_leaves_no_trace_of_how(tmp_path: Path) -> None:
    source, repository = write_tiny_ranker(tmp_path / "source"), tmp_path / "repository"
    repository.mkdir()
    installed = install(source, repository)
    onnx.save(tiny_ranker(2), source / "1" / "model.onnx")
    install(source / "1", installed)
    install(source / "1", installed, name="12")
    assert versions(installed) == [1, 12]
    assert (installed / "1" / "model.onnx").read_bytes() == (source / "1" / "model.onnx").read_bytes()
    assert [path.name for path in repository.iterdir()] == ["ranker"]
    assert sorted(path.name for path in installed.iterdir()) == ["1", "12", "config.pbtxt"]
