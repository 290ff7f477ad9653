"""The student: reproducible, independent of its batch, and able to score what it never saw."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.onnx_ranker import OnnxRanker
from inference.probe import golden_inputs
from inference.ranker import RankerInputs
from inference.tensors import HASH_BUCKETS
from streams.errors import BadModel, Misuse
from training.dataset import Dataset
from training.export import difference, export, graph_of
from training.fit import Fitted, Recipe, fit, ndcg, probabilities
from training.lists import Lists
from training.losses import listwise
from training.student import Student

RECIPE = Recipe(seed=5, epochs=4, batch_lists=8, learning_rate=5e-3)


@pytest.fixture(scope="module")
def fitted(dataset: Dataset) -> Fitted:
    return fit(dataset, RECIPE)


@pytest.fixture(scope="module")
def ranker(fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> OnnxRanker:
    folder = tmp_path_factory.mktemp("models") / "ranker"
    export(fitted.student, folder, 4)
    assert sorted(path.name for path in folder.iterdir()) == ["4"]
    return OnnxRanker(folder, 4)


def test_the_same_seed_gives_the_same_bytes(dataset: Dataset, fitted: Fitted) -> None:
    again = fit(dataset, RECIPE)
    assert again.validation_ndcg == fitted.validation_ndcg
    assert graph_of(again.student).SerializeToString() == graph_of(fitted.student).SerializeToString()
    other = fit(dataset, replace(RECIPE, seed=6))
    assert not torch.equal(other.student.direct.weight, fitted.student.direct.weight)


def test_it_learns_more_than_an_untrained_one_knows(dataset: Dataset, fitted: Fitted) -> None:
    test = dataset.whole("test")
    torch.manual_seed(0)
    assert ndcg(fitted.student, test) > 1.5 * ndcg(Student(), test)


def test_probabilities_are_calibrated_on_the_validation_lists(dataset: Dataset, fitted: Fitted) -> None:
    lists = dataset.whole("validation")
    p = probabilities(fitted.student, lists)
    assert p.mean() == pytest.approx((lists.depth == 3).mean(), rel=0.01)  # over all heads: they share a slope


def test_the_file_says_what_torch_says(fitted: Fitted, ranker: OnnxRanker) -> None:
    for inputs in golden_inputs():
        assert difference(fitted.student, ranker, inputs) <= 1e-4


def test_a_row_alone_is_the_row_in_any_batch(ranker: OnnxRanker) -> None:
    for inputs in golden_inputs():
        whole = ranker.score(inputs)
        for row in range(0, len(inputs), 17):
            part = slice(row, row + 1)
            alone = ranker.score(
                RankerInputs(inputs.features[part, :1], inputs.item_ids[part, :1], inputs.history_ids[part])
            )
            np.testing.assert_allclose(alone[0], whole[row, :1], atol=1e-6)


def test_the_file_holds_no_path(ranker: OnnxRanker, fitted: Fitted) -> None:
    raw = graph_of(fitted.student).SerializeToString()
    assert str(Path.cwd()).encode() not in raw
    assert b"site-packages" not in raw


def test_probabilities_never_grow_with_depth(ranker: OnnxRanker) -> None:
    for inputs in golden_inputs():
        p = ranker.score(inputs)
        assert p.min() >= 0
        assert p.max() <= 1
        assert np.diff(p, axis=2).max() <= 1e-6  # onnxruntime rounds its sigmoid


def test_items_and_users_never_seen_are_scored_by_their_features(dataset: Dataset, fitted: Fitted) -> None:
    test = dataset.whole("test")
    shift = np.where(test.item_ids > 0, (test.item_ids + 4_000) % (HASH_BUCKETS - 1) + 1, 0).astype(np.int32)
    unknown = replace(test, item_ids=shift, history_ids=np.zeros_like(test.history_ids))
    assert np.isfinite(probabilities(fitted.student, unknown)).all()
    assert ndcg(fitted.student, unknown) > 0.8 * ndcg(fitted.student, test)


def test_padding_changes_no_loss() -> None:
    logits, labels = torch.randn(1, 3, 3), torch.tensor([[[1.0], [0.0], [0.0]]]).expand(1, 3, 3)
    weight = torch.tensor([[1.0, 1.0, 0.0]])
    torch.testing.assert_close(listwise(logits, labels, weight), listwise(logits[:, :2], labels[:, :2], weight[:, :2]))


@pytest.mark.parametrize("depth", [0, 3])
def test_labels_that_are_all_alike_are_refused(dataset: Dataset, tmp_path: Path, depth: int) -> None:
    lists = Lists.load(dataset.paths("train")[0])
    replace(lists, depth=np.full_like(lists.depth, depth)).save(tmp_path / "train-0000.npz")
    with pytest.raises(Misuse, match="nothing to learn"):
        fit(Dataset(tmp_path, dataset.meta), RECIPE)


def test_no_training_lists_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="split `train` is empty"):
        fit(Dataset(tmp_path, dataset.meta), RECIPE)


def test_a_student_that_answers_nonsense_is_not_exported(tmp_path: Path) -> None:
    broken = Student()
    with torch.no_grad():
        broken.direct.bias.fill_(float("nan"))
    with pytest.raises(BadModel):
        export(broken, tmp_path / "ranker", 1)
    assert not list((tmp_path / "ranker").glob("**/model.onnx"))
