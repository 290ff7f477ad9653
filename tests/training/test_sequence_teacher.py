"""The sequence teacher: learns what follows what, sees no future, knows no more than it may, and says so of lists."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.tensors import CODE_LEVELS, HISTORY
from streams.errors import Misuse
from streams.evaluation.base import Signal
from tests.training.test_pretrain import GROUPS, followed
from training.dataset import Dataset
from training.lists import Lists, part
from training.loop import Course
from training.sequence_model import SequenceModel, SequenceShape
from training.sequence_tasks import MaskedItems, NextItem
from training.sequence_teacher import SequenceRecipe, SequenceTeacher, train_sequences
from training.sequences import Part, Sequences
from training.teacher import judged, score

RECIPE = SequenceRecipe(
    SequenceShape(width=16, layers=2, heads=2, dropout=0.1), Course(seed=1, epochs=8, batch_rows=32, learning_rate=1e-2)
)


@pytest.fixture(scope="module")
def sequences() -> Sequences:
    signals = followed(1)
    return Sequences.of(signals, len(signals) // 2)


@pytest.fixture(scope="module")
def teacher(sequences: Sequences) -> SequenceTeacher:
    return train_sequences(sequences, RECIPE, part="whole")


def numbers() -> dict[str, int]:
    seen: dict[str, int] = {}
    for one in followed(1):
        seen.setdefault(one.item_id, len(seen))
    return seen


def asked(sequences: Sequences, history: list[str], candidates: list[str], unknown: int = 0) -> Lists:
    """Return one list of candidates after a history, latest first, and then of items that nobody knows."""
    ids, seen = sequences.ids, numbers()
    count = len(candidates) + unknown
    latest = np.zeros((1, HISTORY), np.int32)
    latest[0, : len(history)] = [ids[seen[item]] for item in history]
    return Lists(
        features=np.zeros((count, 1), np.float32), pairs=np.zeros((count, 1), np.float32),
        item_ids=np.array([*(ids[seen[item]] for item in candidates), *range(1, unknown + 1)], np.int32),
        item_codes=np.zeros((count, CODE_LEVELS), np.int32),
        history_codes=np.zeros((1, HISTORY, CODE_LEVELS), np.int32),
        depth=np.zeros(count, np.uint8), weight=np.ones(count, np.float32), offsets=np.array([0, count]),
        seeds=np.zeros((1, 1), np.float32), history_ids=latest, users=np.zeros(1, np.int32),
        targets=np.ones(1, np.int32), at_ms=np.zeros(1, np.int64),
    )  # fmt: skip


def test_it_learns_what_follows_what_even_where_it_never_did(sequences: Sequences, teacher: SequenceTeacher) -> None:
    items = sorted(numbers())
    for group in range(GROUPS):
        said = dict(zip(items, teacher.logits(asked(sequences, [f"{group}-0"], items))[:, 0], strict=True))
        after = f"{(group + 1) % GROUPS}-"
        others = [value for item, value in said.items() if not item.startswith(after)]
        assert said[f"{after}0"] > np.quantile(others, 0.95)  # these two never followed each other


def test_it_says_log_probabilities_of_the_whole_catalogue(sequences: Sequences, teacher: SequenceTeacher) -> None:
    items = sorted(numbers())
    said = teacher.logits(asked(sequences, ["0-1", "4-2"], items, unknown=2))
    assert np.exp(said[: len(items)]).sum(axis=0) == pytest.approx([1, 1, 1], abs=1e-4)
    assert said[-2:, 0] == pytest.approx([said[: len(items), 0].mean()] * 2, abs=1e-4)


def test_after_nothing_it_says_what_is_popular(sequences: Sequences, teacher: SequenceTeacher) -> None:
    items = list(numbers())
    said = teacher.logits(asked(sequences, [], items))[:, 0]
    bias = teacher.model.bias.detach()
    assert said == pytest.approx(bias.log_softmax(0).numpy(), abs=1e-5)


def test_what_stands_beside_a_list_changes_nothing(dataset: Dataset) -> None:
    lists = dataset.whole("validation")
    teacher = train_sequences(dataset.sequences, replace(RECIPE, course=replace(RECIPE.course, epochs=1)), part="early")
    whole = teacher.logits(lists)
    np.testing.assert_allclose(teacher.logits(part(lists, np.array([0]))), whole[: lists.offsets[1]], atol=1e-4)
    assert np.array_equal(score(teacher, dataset, "validation"), whole)


def test_early_knows_nothing_of_what_comes_later(sequences: Sequences) -> None:
    changed = sequences.items.copy()
    for start, early, end in zip(sequences.offsets, sequences.early, sequences.offsets[1:], strict=False):
        changed[start + early : end] = changed[start + early : end][::-1]
    other, short = replace(sequences, items=changed), replace(RECIPE, masked_epochs=1)
    short = replace(short, course=replace(RECIPE.course, epochs=1))
    cases: list[tuple[Part, bool]] = [("early", True), ("whole", False)]
    for known, same in cases:
        one, two = (train_sequences(s, short, part=known).model.state_dict() for s in (sequences, other))
        assert all(torch.equal(one[name], two[name]) for name in one) == same


@pytest.mark.parametrize("both_ways", [False, True])
def test_forwards_no_place_sees_what_comes_after_it(both_ways: bool) -> None:
    torch.manual_seed(0)
    model = SequenceModel(10, SequenceShape(width=16, layers=2, heads=2)).eval()
    with torch.no_grad():
        for layer in model.layers:
            layer.back.normal_()  # type: ignore[operator,union-attr]
    row = torch.tensor([[1, 2, 3, 4, -1, -1]])
    later = torch.tensor([[1, 2, 3, 9, -1, -1]])
    longer = torch.tensor([[1, 2, 3, 4, -1, -1, -1]])
    one, two = (model.along(some, both_ways=both_ways)[0, :3] for some in (row, later))
    assert torch.equal(one, two) != both_ways
    whole, padded = (model.along(some, both_ways=both_ways)[0, :4] for some in (row, longer))
    torch.testing.assert_close(padded, whole)


def test_a_hidden_item_is_not_seen_and_each_row_has_one() -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Listens(SequenceModel):
        def forward(self, numbers: torch.Tensor, wanted: torch.Tensor, *, both_ways: bool = False) -> torch.Tensor:
            seen.append((numbers, wanted))
            assert both_ways
            return super().forward(numbers, wanted, both_ways=both_ways)

    rows = np.array([[1, 2, 3, -1], [4, 5, -1, -1]] * 200, np.int32)
    task = MaskedItems(rows, 10)
    task.loss(Listens(10, SequenceShape()), np.arange(400), np.random.default_rng(0)).backward()
    shown, wanted = seen[0]
    assert torch.equal(wanted, shown == 11)
    assert wanted.any(dim=1).all()
    assert not wanted[torch.from_numpy(rows) < 0].any()
    assert torch.equal(shown[~wanted], torch.from_numpy(rows).long()[~wanted])


def test_hidden_items_are_learned_from_what_stands_around_them() -> None:
    generator = np.random.default_rng(0)
    groups = generator.integers(GROUPS, size=(200, 1))
    task = MaskedItems((groups * 12 + generator.integers(12, size=(200, 10))).astype(np.int32), GROUPS * 12)
    model = SequenceModel(GROUPS * 12, replace(RECIPE.shape, dropout=0.0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = task.loss(model, generator.integers(task.rows, size=32), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(np.log(GROUPS * 12), rel=0.1)
    assert np.mean(losses[-10:]) < losses[0] - 1


def test_of_too_many_scores_a_part_is_drawn(monkeypatch: pytest.MonkeyPatch, sequences: Sequences) -> None:
    rows, wanted = sequences.windows(50, HISTORY, part="whole")
    model = SequenceModel(len(sequences.ids), replace(RECIPE.shape, dropout=0.0)).eval()
    task, some = NextItem(rows, wanted, len(sequences.ids)), np.arange(8)
    whole = task.loss(model, some, np.random.default_rng(0)).item()
    monkeypatch.setattr("training.sequence_tasks.CELLS", 20 * len(sequences.ids))
    drawn = [task.loss(model, some, np.random.default_rng(seed)).item() for seed in range(60)]
    assert len(set(drawn)) > 50
    assert np.mean(drawn) == pytest.approx(whole, abs=4 * np.std(drawn) / 60**0.5)


def test_it_judges_the_shop_better_than_chance(dataset: Dataset) -> None:
    lists = dataset.whole("validation")
    recipe = replace(RECIPE, course=replace(RECIPE.course, epochs=12))
    said = train_sequences(dataset.sequences, recipe, part="early").logits(lists)
    chance = np.random.default_rng(0).normal(size=said.shape).astype(np.float32)
    assert judged(said, lists) > 1.5 * judged(chance, lists)


def test_without_a_sequence_there_is_nothing_to_learn() -> None:
    alone = Sequences.of((Signal(f"u{n}", "a", n, "click", "") for n in range(5)), 5)
    with pytest.raises(Misuse, match="no sequence has two items"):
        train_sequences(alone, RECIPE, part="early")
