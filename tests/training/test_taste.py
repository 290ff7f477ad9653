"""The taste: the same in training and in serving, blind to padding and to what came later; codes stand in for ids."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from inference.tensors import CODE_LEVELS, CODES, HISTORY, MAX_ID
from training.taste import SEEN_ROWS, TABLES, Taste


@pytest.fixture(scope="module")
def taste() -> Taste:
    """Return one in which every parameter says something."""
    torch.manual_seed(3)
    made = Taste()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for content in (made.content, made.content_bias):
            content.weight[0] = 0.0
    return made.eval()


def ids(count: int, seed: int = 1) -> torch.Tensor:
    """Return different hashed ids, (1, count)."""
    return torch.randint(1, MAX_ID, (1, count), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


def codes(hashed: torch.Tensor) -> torch.Tensor:
    """Return a code for every id; a third of the ids, and padding, have none."""
    levels = torch.arange(1, CODE_LEVELS + 1)
    return torch.where((hashed % 3 > 0).unsqueeze(-1), hashed.unsqueeze(-1) // levels % CODES + 1, 0).int()


def nothing(hashed: torch.Tensor) -> torch.Tensor:
    """Return that no id has a code."""
    return torch.zeros(*hashed.shape, CODE_LEVELS, dtype=torch.int32)


def along(taste: Taste, sequence: torch.Tensor) -> torch.Tensor:
    return taste.along(sequence, codes(sequence), taste.known(sequence, codes(sequence)))


def score(taste: Taste, history: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    return taste(history, items, codes(history), codes(items))


@contextmanager
def unseen(taste: Taste) -> Iterator[None]:
    """Make the taste one that learned from no id."""
    taste.seen.zero_()
    try:
        yield
    finally:
        taste.seen.fill_(1)


def newest_first(sequence: torch.Tensor) -> torch.Tensor:
    """Return what the encoder makes of a sequence without repeats, (1, T)."""
    latest = sequence.flip(1)[:, :HISTORY]
    return torch.nn.functional.pad(latest, (0, HISTORY - latest.shape[1]))


@pytest.mark.parametrize("size", [1, 2, 7, HISTORY - 1, HISTORY, HISTORY + 1, 49])
def test_what_is_trained_is_what_is_served(taste: Taste, size: int) -> None:
    sequence = ids(size)
    history = newest_first(sequence)
    torch.testing.assert_close(along(taste, sequence)[:, -1:], taste.after(history, codes(history)))


def test_the_future_and_padding_say_nothing(taste: Taste) -> None:
    sequence, changed = ids(30), ids(30)
    changed[:, 12:] = ids(18, seed=2)
    padded = sequence.clone()
    padded[:, 12:] = 0
    for other in (changed, padded):
        assert torch.equal(along(taste, other)[:, :12], along(taste, sequence)[:, :12])
    assert not torch.equal(along(taste, changed)[:, 12], along(taste, sequence)[:, 12])


def test_the_order_of_the_history_counts(taste: Taste) -> None:
    history = newest_first(ids(5))
    other = history.clone()
    other[:, [1, 2]] = history[:, [2, 1]]
    assert (taste.after(history, codes(history)) - taste.after(other, codes(other))).abs().max() > 1e-3


def test_after_no_history_only_the_items_count(taste: Taste) -> None:
    items, empty = ids(9), torch.zeros(1, HISTORY, dtype=torch.int32)
    assert not taste.after(empty, codes(empty)).any()
    known = taste.known(items, codes(items))
    assert torch.equal(score(taste, empty, items), taste.bias(items, codes(items), known))


def test_a_row_of_padding_in_the_tables_changes_no_score(taste: Taste) -> None:
    history, items = newest_first(ids(3)), ids(9)
    before = score(taste, history, items)
    assert not any((torch.cat((history[:, :3], items), dim=1) % rows == 0).any() for rows in TABLES)
    with torch.no_grad():
        kept = [table.weight[0].clone() for table in taste.tables]  # type: ignore[union-attr,operator]
        for table in taste.tables:
            table.weight[0] += 5.0  # type: ignore[union-attr,operator]
        after = score(taste, history, items)
        for table, row in zip(taste.tables, kept, strict=True):
            table.weight[0] = row  # type: ignore[union-attr,operator]
    assert torch.equal(before, after)


def test_two_items_are_one_only_if_both_tables_say_so(taste: Taste) -> None:
    history, item = newest_first(ids(5)), torch.tensor([[12_345]], dtype=torch.int32)

    def score(item: torch.Tensor) -> torch.Tensor:
        return taste(history, item, nothing(history), nothing(item))

    assert torch.equal(score(item + TABLES[0] * TABLES[1]), score(item))
    for rows in TABLES:
        assert not torch.equal(score(item + rows), score(item))


@pytest.mark.parametrize("item", [0, 1, MAX_ID])
def test_every_id_has_a_score(taste: Taste, item: int) -> None:
    full = torch.full((1, HISTORY), item, dtype=torch.int32)
    assert score(taste, full, full).isfinite().all()


def test_a_row_is_scored_alone_as_in_a_batch(taste: Taste) -> None:
    histories = torch.cat([newest_first(ids(n % (HISTORY + 1), seed=n)) for n in range(33)])
    items = torch.cat([ids(40, seed=n) for n in range(33)])
    alone = torch.cat([score(taste, histories[n : n + 1], items[n : n + 1]) for n in range(33)])
    torch.testing.assert_close(score(taste, histories, items), alone)


def test_the_parts_of_a_code_count_each_by_its_level(taste: Taste) -> None:
    history, item = newest_first(ids(5)), ids(1)
    scores = [
        taste(history, item, codes(history), torch.tensor([[code]])) for code in ([7, 9, 9], [9, 7, 9], [9, 9, 7])
    ]
    assert len({one.item() for one in scores}) == CODE_LEVELS


def test_of_an_item_that_was_never_learned_from_only_the_code_counts(taste: Taste) -> None:
    history, items = newest_first(ids(5)), ids(40)
    same = torch.full((1, 40, CODE_LEVELS), 7)
    with unseen(taste):
        assert len(taste(history, items, codes(history), same).unique()) == 1
    assert len(taste(history, items, codes(history), same).unique()) == 40


def test_without_codes_it_makes_no_difference_what_was_learned_from(taste: Taste) -> None:
    history, items = newest_first(ids(5)), ids(40)
    before = taste(history, items, nothing(history), nothing(items))
    with unseen(taste):
        assert torch.equal(taste(history, items, nothing(history), nothing(items)), before)


def test_few_ids_are_taken_for_known_that_are_not(taste: Taste) -> None:
    learned, other = ids(20_000)[0], ids(20_000, seed=2)[0]
    some = torch.ones(20_000, CODE_LEVELS)
    with unseen(taste):
        taste.seen[learned % SEEN_ROWS] = 1
        assert taste.known(learned, some).all()
        assert taste.known(other, some).mean() < 1.1 * 20_000 / SEEN_ROWS
