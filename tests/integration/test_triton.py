"""The real Triton against onnxruntime on the same file: equal answers, refused faults, versions side by side."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest

from inference.onnx_ranker import OnnxRanker
from inference.probe import TOLERANCE, golden_inputs, probe
from inference.ranker import Ranked, RankerInputs
from inference.repository import await_ready, install, load
from inference.tensors import MAX_BATCH_SIZE, RANKER_INPUTS
from inference.triton_ranker import TritonAddress, TritonRanker
from streams.embedded.server import free_port
from streams.errors import BadModel, RankerUnavailable
from tests.integration.conftest import RunningStack
from tests.support import damaged, write_tiny_ranker


def rank(address: str, batch: RankerInputs, version: int = 1, timeout_s: float = 5.0) -> Ranked:
    async def once() -> Ranked:
        ranker = TritonRanker(TritonAddress(address), version)
        try:
            return await ranker.rank(batch, timeout_s)
        finally:
            await ranker.close()

    return asyncio.run(once())


@contextmanager
def served(stack: RunningStack, source: Path, version: int) -> Iterator[None]:
    """Have one more version served by the shared stack, and retire it again."""
    address = TritonAddress(stack.triton)
    folder = install(source / str(version), stack.repository / "ranker")
    try:
        load(address, "ranker")
        await_ready(address, "ranker", version)
        yield
    finally:
        shutil.rmtree(folder)
        load(address, "ranker")


def largest() -> RankerInputs:
    return max(golden_inputs(), key=len)


def repeated(batch: RankerInputs, times: int) -> RankerInputs:
    arrays = (np.concatenate([array] * times) for _, array in batch.tensors())
    return RankerInputs(*arrays)


def test_the_server_answers_what_the_file_says(stack: RunningStack) -> None:
    reference = OnnxRanker(stack.repository / "ranker", 1)
    for batch in golden_inputs():
        ranked = rank(stack.triton, batch)
        assert ranked.model == "ranker/1"
        assert np.abs(ranked.p - reference.score(batch)).max() <= TOLERANCE


def test_a_row_alone_scores_as_in_any_batch(stack: RunningStack) -> None:
    batch = largest()
    together = rank(stack.triton, batch).p
    for row in (0, 1, len(batch) // 2, len(batch) - 1):
        alone = RankerInputs(*(array[row : row + 1] for _, array in batch.tensors()))
        assert np.array_equal(rank(stack.triton, alone).p[0], together[row])


def test_a_batch_above_the_limit_is_split_and_put_together(stack: RunningStack) -> None:
    batch = repeated(largest(), 3)
    assert len(batch) > MAX_BATCH_SIZE
    p = rank(stack.triton, batch).p
    assert np.array_equal(p[: len(largest())], p[-len(largest()) :])
    assert np.abs(p - OnnxRanker(stack.repository / "ranker", 1).score(batch)).max() <= TOLERANCE


def test_a_version_that_is_not_there_is_unavailable(stack: RunningStack) -> None:
    with pytest.raises(RankerUnavailable, match="ranker/999"):
        rank(stack.triton, largest(), version=999)


def test_a_deadline_that_is_too_short_is_unavailable(stack: RunningStack) -> None:
    with pytest.raises(RankerUnavailable, match="ranker/1"):
        rank(stack.triton, repeated(largest(), 40), timeout_s=0.002)


def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(RankerUnavailable, match="ranker/1"):
        rank(f"127.0.0.1:{free_port()}", largest())


def test_versions_are_served_side_by_side_and_loading_one_changes_no_other(stack: RunningStack, tmp_path: Path) -> None:
    address, batch = TritonAddress(stack.triton), largest()
    before = rank(stack.triton, batch).p
    source = write_tiny_ranker(tmp_path, version=71, seed=71)

    async def both() -> tuple[Ranked, Ranked]:
        first = TritonRanker(address, 1)
        try:
            return await first.rank(batch, 5.0), await first.at(71).rank(batch, 5.0)
        finally:
            await first.close()

    with served(stack, source, 71):
        probe(address, "ranker", 71, source)
        old, new = asyncio.run(both())
    assert np.array_equal(old.p, before)
    assert (old.model, new.model) == ("ranker/1", "ranker/71")
    assert not np.allclose(old.p, new.p)


def test_the_probe_refuses_a_server_that_answers_another_file(stack: RunningStack, tmp_path: Path) -> None:
    other = write_tiny_ranker(tmp_path, version=1, seed=99)
    with pytest.raises(BadModel, match="differs"):
        probe(TritonAddress(stack.triton), "ranker", 1, other)


def test_the_probe_refuses_a_model_that_says_the_same_of_everything(stack: RunningStack, tmp_path: Path) -> None:
    assert_refused(stack, tmp_path, version=72, damage=lambda array: array * 0, sentence="varied")


def test_the_probe_refuses_a_model_that_is_not_finite(stack: RunningStack, tmp_path: Path) -> None:
    assert_refused(stack, tmp_path, version=73, damage=lambda array: array * np.float32(np.nan), sentence="finite")


def assert_refused(
    stack: RunningStack, folder: Path, version: int, damage: Callable[[np.ndarray], np.ndarray], sentence: str
) -> None:
    """Damage the float weights of a model, have it served, and see the probe say why it can't stay."""
    source = write_tiny_ranker(folder, version=version)
    onnx.save(damaged(damage, seed=version), source / str(version) / "model.onnx")
    with served(stack, source, version), pytest.raises(BadModel, match=sentence):
        probe(TritonAddress(stack.triton), "ranker", version, source)


def test_a_model_that_triton_cannot_load_is_refused_and_the_others_stay(stack: RunningStack, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / "1").mkdir(parents=True)
    (broken / "1" / "model.onnx").write_bytes(b"not a model")
    config = (stack.repository / "ranker" / "config.pbtxt").read_text()
    (broken / "config.pbtxt").write_text(config.replace('"ranker"', '"broken"'))
    install(broken, stack.repository)
    with pytest.raises(BadModel, match="broken"):
        load(TritonAddress(stack.triton), "broken")
    shutil.rmtree(stack.repository / "broken")
    assert rank(stack.triton, largest()).model == "ranker/1"


def test_the_contract_reaches_the_server(stack: RunningStack) -> None:
    client = TritonAddress(stack.triton).sync_client()
    metadata = client.get_model_metadata("ranker", "1")
    client.close()
    declared = {tensor.name: [-1, *tensor.dims] for tensor in RANKER_INPUTS}
    assert {tensor.name: list(tensor.shape) for tensor in metadata.inputs} == declared
