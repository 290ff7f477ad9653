"""Eight bits: a quarter of the size, near the whole, and each row its own to the bit."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from inference.onnx_ranker import OnnxRanker
from inference.tensors import MAX_BATCH_SIZE
from tests.training.test_student import drawn, mixed
from training.export import difference, export
from training.quantise import rounded


def test_the_file_says_what_the_rounded_student_says_and_is_small(tmp_path: Path) -> None:
    student, folder = mixed(), tmp_path / "ranker"
    whole, small = (
        export(student, folder, version, int8=int8).stat().st_size for version, int8 in ((1, False), (2, True))
    )
    assert small < 0.4 * whole
    ranker = OnnxRanker(folder, 2)
    for inputs in (drawn(3, 40), drawn(MAX_BATCH_SIZE, 200)):
        assert difference(rounded(student), ranker, inputs) <= 1e-4
        alone = np.concatenate([ranker.score(row) for row in inputs.chunks(1)])
        assert np.array_equal(ranker.score(inputs), alone)


def test_rounding_moves_no_weight_by_more_than_half_a_step() -> None:
    student = mixed()
    before, after = (dict(one.named_parameters()) for one in (student, rounded(student)))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"taste.tables.0.weight", "taste.tables.1.weight", "taste.content.weight"}
    for name in moved:
        step = before[name].abs().amax(dim=1, keepdim=True) / 127
        assert ((before[name] - after[name]).abs() <= 0.501 * step).all()


def test_what_is_rounded_stays_so() -> None:
    once = rounded(mixed())
    again = rounded(once)
    for name, weight in once.named_parameters():
        torch.testing.assert_close(weight, again.get_parameter(name), rtol=0, atol=1e-6)


def test_activations_stay_in_full(tmp_path: Path) -> None:
    """A quantised activation's range would be that of a batch."""
    path = export(mixed(), tmp_path / "ranker", 1, int8=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert {tensor.type for tensor in session.get_outputs()} == {"tensor(float)"}
    assert b"DynamicQuantizeLinear" not in path.read_bytes()
    assert b"MatMulInteger" not in path.read_bytes()
