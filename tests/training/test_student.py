"""The student and its file: the formula, ordered heads, small, and each row's scores its own to the bit."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.onnx_ranker import OnnxRanker
from inference.probe import golden_inputs
from inference.ranker import RankerInputs
from inference.tensors import CODE_LEVELS, CODES, FEATURES, HEADS, HISTORY, MAX_BATCH_SIZE, MAX_ID, SEEDS
from streams.errors import BadModel
from streams.recommend import LANES
from training.export import MAX_BYTES, difference, export, student_graph
from training.student import UNSEEN_STEP, Heuristic, Student


def mixed(seed: int = 3) -> Student:
    """Return a student in which every parameter says something."""
    torch.manual_seed(seed)
    student = Student()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    mean = torch.rand(len(FEATURES) + 2)
    mean[-2:] = torch.tensor([6.0, 0.0])  # about f and t of `drawn`: a p near 1 would hide what is rounded
    student.begin(mean, 0.5 + torch.rand(len(mean)), 0.01, len(HEADS))
    return student.eval()


def drawn(batch: int, candidates: int, seed: int = 1) -> RankerInputs:
    """Return inputs with histories of every length."""
    generator = np.random.default_rng(seed)
    pairs = generator.exponential(900.0, (batch, candidates, 2 * SEEDS)) * generator.integers(0, 2, 2 * SEEDS)
    history = generator.integers(1, MAX_ID, (batch, HISTORY), dtype=np.int32)
    history[np.arange(HISTORY) >= np.arange(batch)[:, None] % (HISTORY + 1)] = 0
    return RankerInputs(
        generator.normal(size=(batch, candidates, len(FEATURES))).astype(np.float32),
        pairs.astype(np.float32),
        generator.exponential(20.0, (batch, SEEDS)).astype(np.float32),
        generator.integers(0, MAX_ID, (batch, candidates), dtype=np.int32),
        history,
        generator.integers(0, CODES + 1, (batch, candidates, CODE_LEVELS), dtype=np.int32),
        generator.integers(0, CODES + 1, (batch, HISTORY, CODE_LEVELS), dtype=np.int32),
    )


def logits(student: Student, inputs: RankerInputs) -> torch.Tensor:
    with torch.inference_mode():
        return student.logits(*(torch.from_numpy(array) for _, array in inputs.tensors()))


@pytest.fixture(scope="module")
def student() -> Student:
    return mixed()


@pytest.fixture(scope="module")
def ranker(student: Student, tmp_path_factory: pytest.TempPathFactory) -> OnnxRanker:
    folder = tmp_path_factory.mktemp("models") / "ranker"
    path = export(student, folder, 4)
    assert sorted(one.name for one in folder.iterdir()) == ["4"]
    assert path.stat().st_size <= MAX_BYTES == 5_000_000
    raw = path.read_bytes()
    assert raw == student_graph(student).SerializeToString(), "the same weights give the same bytes"
    assert str(Path.cwd()).encode() not in raw
    assert b"site-packages" not in raw
    return OnnxRanker(folder, 4)


def batches(inputs: RankerInputs) -> Iterator[RankerInputs]:
    """Yield the rows in every number that Triton takes at once."""
    for size in range(2, MAX_BATCH_SIZE + 1):
        yield next(RankerInputs(*(array[-size:] for _, array in inputs.tensors())).chunks(size))


@pytest.mark.parametrize("candidates", [LANES, 3 * LANES, 104, 200, 208])
def test_a_row_alone_is_the_row_in_any_batch_to_the_bit(ranker: OnnxRanker, candidates: int) -> None:
    whole = drawn(MAX_BATCH_SIZE, candidates)
    alone = np.concatenate([ranker.score(row) for row in whole.chunks(1)])
    assert np.quantile(alone, 0.9) < 0.3
    for batch in batches(whole):
        assert np.array_equal(ranker.score(batch), alone[-len(batch) :])


def test_a_row_of_the_golden_inputs_is_its_own_too(ranker: OnnxRanker) -> None:
    for inputs in golden_inputs():
        whole, alone = ranker.score(inputs), np.concatenate([ranker.score(row) for row in inputs.chunks(1)])
        if inputs.item_ids.shape[1] % LANES == 0:
            assert np.array_equal(whole, alone)
        np.testing.assert_allclose(whole, alone, atol=1e-6)


def test_more_candidates_change_no_score_to_the_bit(ranker: OnnxRanker) -> None:
    whole = drawn(5, 256)
    p = ranker.score(whole)
    for size in range(LANES, 256, 5 * LANES):
        assert np.array_equal(ranker.score(whole.first(size)), p[:, :size])


def test_the_file_says_what_torch_says(student: Student, ranker: OnnxRanker) -> None:
    for inputs in (*golden_inputs(), drawn(21, 40)):
        assert difference(student, ranker, inputs) <= 1e-4


def test_probabilities_never_grow_with_depth(ranker: OnnxRanker) -> None:
    for inputs in (*golden_inputs(), drawn(21, 40)):
        p = ranker.score(inputs)
        assert p.min() >= 0
        assert p.max() <= 1
        assert np.diff(p, axis=2).max() <= 1e-6  # onnxruntime rounds its sigmoid


@pytest.mark.parametrize("labelled", [1, 2, 3])
def test_heads_without_labels_keep_the_order_of_the_deepest_that_has_some(labelled: int) -> None:
    student, size = mixed(), len(FEATURES) + 2
    student.begin(torch.zeros(size), torch.ones(size), 0.1, labelled)
    z = logits(student, drawn(3, 40))
    assert z.diff(dim=2).max() < 0
    torch.testing.assert_close(
        z[..., labelled:], z[..., labelled - 1 : -1] - UNSEEN_STEP, rtol=0, atol=1e-4
    )  # of nothing if all are labelled
    assert (z[..., labelled:].argsort(dim=1) == z[..., labelled - 1 : -1].argsort(dim=1)).all()


def test_a_feature_that_never_varied_is_left_out() -> None:
    student, inputs = mixed(), drawn(3, 40)
    deviation = torch.ones(len(FEATURES) + 2)
    deviation[5] = 0.0
    student.begin(torch.zeros(len(FEATURES) + 2), deviation, 0.1, 3)
    before = logits(student, inputs)
    inputs.features[..., 5] += 100.0
    assert torch.equal(logits(student, inputs), before)


def test_the_heuristic_is_its_formula() -> None:
    torch.manual_seed(5)
    heuristic = Heuristic()
    with torch.no_grad():
        for parameter in heuristic.parameters():
            parameter.add_(torch.randn(()))
    inputs = drawn(4, 30)
    popular = np.random.default_rng(2).exponential(20.0, (4, 30))
    with torch.inference_mode():
        f = heuristic(*map(torch.from_numpy, (inputs.pairs, inputs.seeds, np.log1p(popular).astype(np.float32))))
    told = {name: parameter.item() for name, parameter in heuristic.named_parameters()}
    g, damp = (1 / (1 + np.exp(-told[name])) for name in ("decay", "damp"))
    a, b, beta = (np.exp(told[name]) for name in ("seed_power", "item_power", "beta"))
    expected = np.zeros((4, 30))
    for s in range(SEEDS):
        both = inputs.pairs[..., s].astype(np.float64) + beta * inputs.pairs[..., SEEDS + s]
        expected += g**s * both**damp / ((inputs.seeds[:, s, None] + 1.0) ** a * (popular + 1.0) ** b)
    np.testing.assert_allclose(f.numpy(), np.log(expected + np.exp(told["floor"])), rtol=1e-4)


def test_the_heuristic_learns_nothing_endless_where_nothing_was_counted() -> None:
    heuristic, inputs = Heuristic(), drawn(2, 8)
    pairs, seeds = (torch.from_numpy(np.zeros_like(array)) for array in (inputs.pairs, inputs.seeds))
    f = heuristic(pairs, seeds, torch.zeros(2, 8))
    assert torch.allclose(f, heuristic.floor.expand(2, 8))
    f.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite() for parameter in heuristic.parameters())


def test_a_student_that_answers_nonsense_is_not_exported(tmp_path: Path) -> None:
    broken = Student()
    with torch.no_grad():
        broken.direct.bias.fill_(float("nan"))
    with pytest.raises(BadModel):
        export(broken, tmp_path / "ranker", 1)
    assert not list((tmp_path / "ranker").glob("**/*"))
