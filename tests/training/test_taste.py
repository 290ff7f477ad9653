"""The taste: the same in training and in serving, blind to padding and to what came later."""

import pytest
import torch

from inference.tensors import HISTORY, MAX_ID
from training.taste import TABLES, Taste


@pytest.fixture(scope="module")
def taste() -> Taste:
    """Return one in which every parameter says something."""
    torch.manual_seed(3)
    made = Taste()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval()


def ids(count: int, seed: int = 1) -> torch.Tensor:
    """Return different hashed ids, (1, count)."""
    return torch.randint(1, MAX_ID, (1, count), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


def newest_first(sequence: torch.Tensor) -> torch.Tensor:
    """Return what the encoder makes of a sequence without repeats, (1, T)."""
    latest = sequence.flip(1)[:, :HISTORY]
    return torch.nn.functional.pad(latest, (0, HISTORY - latest.shape[1]))


@pytest.mark.parametrize("size", [1, 2, 7, HISTORY - 1, HISTORY, HISTORY + 1, 49])
def test_what_is_trained_is_what_is_served(taste: Taste, size: int) -> None:
    sequence = ids(size)
    torch.testing.assert_close(taste.along(sequence)[:, -1:], taste.after(newest_first(sequence)))


def test_the_future_and_padding_say_nothing(taste: Taste) -> None:
    sequence, changed = ids(30), ids(30)
    changed[:, 12:] = ids(18, seed=2)
    padded = sequence.clone()
    padded[:, 12:] = 0
    for other in (changed, padded):
        assert torch.equal(taste.along(other)[:, :12], taste.along(sequence)[:, :12])
    assert not torch.equal(taste.along(changed)[:, 12], taste.along(sequence)[:, 12])


def test_the_order_of_the_history_counts(taste: Taste) -> None:
    history = newest_first(ids(5))
    other = history.clone()
    other[:, [1, 2]] = history[:, [2, 1]]
    assert (taste.after(history) - taste.after(other)).abs().max() > 1e-3


def test_after_no_history_only_the_items_count(taste: Taste) -> None:
    items, nothing = ids(9), torch.zeros(1, HISTORY, dtype=torch.int32)
    assert not taste.after(nothing).any()
    assert torch.equal(taste(nothing, items), taste.bias(items))


def test_a_row_of_padding_in_the_tables_changes_no_score(taste: Taste) -> None:
    history, items = newest_first(ids(3)), ids(9)
    before = taste(history, items)
    assert not any((torch.cat((history[:, :3], items), dim=1) % rows == 0).any() for rows in TABLES)
    with torch.no_grad():
        kept = [table.weight[0].clone() for table in taste.tables]  # type: ignore[union-attr,operator]
        for table in taste.tables:
            table.weight[0] += 5.0  # type: ignore[union-attr,operator]
        after = taste(history, items)
        for table, row in zip(taste.tables, kept, strict=True):
            table.weight[0] = row  # type: ignore[union-attr,operator]
    assert torch.equal(before, after)


def test_two_items_are_one_only_if_both_tables_say_so(taste: Taste) -> None:
    history, item = newest_first(ids(5)), torch.tensor([[12_345]], dtype=torch.int32)
    score = taste(history, item)
    assert torch.equal(taste(history, item + TABLES[0] * TABLES[1]), score)
    for rows in TABLES:
        assert not torch.equal(taste(history, item + rows), score)


@pytest.mark.parametrize("item", [0, 1, MAX_ID])
def test_every_id_has_a_score(taste: Taste, item: int) -> None:
    full = torch.full((1, HISTORY), item, dtype=torch.int32)
    assert taste(full, full).isfinite().all()


def test_a_row_is_scored_alone_as_in_a_batch(taste: Taste) -> None:
    histories = torch.cat([newest_first(ids(n % (HISTORY + 1), seed=n)) for n in range(33)])
    items = torch.cat([ids(40, seed=n) for n in range(33)])
    alone = torch.cat([taste(histories[n : n + 1], items[n : n + 1]) for n in range(33)])
    torch.testing.assert_close(taste(histories, items), alone)
