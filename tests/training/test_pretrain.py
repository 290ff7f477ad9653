"""What the sequences teach: the next item, from the early part alone if asked, the same for the same seed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.tensors import CODE_LEVELS, HISTORY
from streams.evaluation.base import Signal
from training.phases import Watch
from training.pretrain import LENGTH, _Items, _loss, pretrain
from training.recipe import Pretraining
from training.sequences import Part, Sequences
from training.taste import SEEN_ROWS, Taste

RECIPE = Pretraining(epochs=2, places=20_000, negatives=64)
GROUPS, SIZE = 5, 12


def followed(seed: int, users: int = 150, steps: int = 24) -> list[Signal]:
    """Return walks from group to group of items, in a circle; item 0 of a group never comes before item 0 of the next.

    Which item of the next group comes is drawn, so only that groups follow each other can be learned.
    """
    generator = np.random.default_rng(seed)
    signals = []
    for user in range(users):
        group, before = int(generator.integers(GROUPS)), -1
        for step in range(steps):
            item = int(generator.integers(1 if before == 0 else 0, SIZE))
            signals.append(Signal(f"u{user}", f"{group}-{item}", step, "click", str(step)))
            group, before = (group + 1) % GROUPS, item
    return signals


def numbered(signals: list[Signal]) -> dict[str, int]:
    """Return the items' places in `Sequences.ids`."""
    numbers: dict[str, int] = {}
    for one in signals:
        numbers.setdefault(one.item_id, len(numbers))
    return numbers


def score(taste: Taste, sequences: Sequences, numbers: dict[str, int], last: str) -> dict[str, float]:
    """Return the score of each item after one."""
    history, past = torch.zeros(1, HISTORY, dtype=torch.int32), torch.zeros(1, HISTORY, CODE_LEVELS, dtype=torch.int32)
    history[0, 0] = int(sequences.ids[numbers[last]])
    past[0, 0] = torch.from_numpy(sequences.codes[numbers[last]])
    ids, codes = torch.from_numpy(sequences.ids)[None], torch.from_numpy(sequences.codes)[None]
    scores = taste(history, ids, past, codes)[0].tolist()
    return {item: scores[number] for item, number in numbers.items()}


def with_codes(sequences: Sequences, numbers: dict[str, int]) -> Sequences:
    """Return sequences whose items have codes that tell their group, and little else."""
    codes = np.array([[1 + int(item[0]), 1 + int(item[2:]) % 3, 1] for item in numbers], np.int32)
    return replace(sequences, codes=codes)


@pytest.fixture(scope="module")
def sequences() -> Sequences:
    signals = followed(1)
    return Sequences.of(signals, len(signals) // 2)


def test_it_learns_what_follows_what_even_where_it_never_did(sequences: Sequences) -> None:
    """No count of pairs could: these two were never seen one after the other."""
    taste = pretrain(sequences, replace(RECIPE, epochs=40, places=10**6, batch_rows=32), 1, part="whole")
    numbers = numbered(followed(1))
    for group in range(GROUPS):
        scores = score(taste, sequences, numbers, f"{group}-0")
        after = (group + 1) % GROUPS
        others = [value for item, value in scores.items() if not item.startswith(f"{after}-")]
        assert scores[f"{after}-0"] > np.quantile(others, 0.95)


def test_a_new_item_is_known_by_its_code(sequences: Sequences) -> None:
    """The item was in nobody's sequence, its id is another than all, and it comes after what its group comes after."""
    numbers = numbered(followed(1))
    coded = with_codes(sequences, numbers)
    taste = pretrain(coded, replace(RECIPE, epochs=40, places=10**6, batch_rows=32), 1, part="whole")
    new = replace(coded, ids=coded.ids + 1)
    assert not taste.seen[new.ids % SEEN_ROWS].any()
    history, past = torch.zeros(1, HISTORY, dtype=torch.int32), torch.zeros(1, HISTORY, CODE_LEVELS, dtype=torch.int32)
    groups = np.array([int(item[0]) for item in numbers])
    for group in range(GROUPS):
        last = numbers[f"{group}-1"]
        history[0, 0], past[0, 0] = int(coded.ids[last]), torch.from_numpy(coded.codes[last])
        ids, codes = torch.from_numpy(new.ids)[None], torch.from_numpy(new.codes)[None]
        scores = taste(history, ids, past, codes)[0].detach().numpy()
        after = groups == (group + 1) % GROUPS
        assert scores[after].min() > scores[~after].max()


def test_where_no_item_has_a_code_ids_are_never_dropped(sequences: Sequences) -> None:
    one, other = (pretrain(sequences, replace(RECIPE, id_dropout=p), 1, part="whole").state_dict() for p in (0.0, 0.9))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_seed_gives_the_same_weights(sequences: Sequences) -> None:
    one, again, other = (pretrain(sequences, RECIPE, seed, part="whole").state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_early_knows_nothing_of_what_comes_later(sequences: Sequences) -> None:
    changed = sequences.items.copy()
    for start, early, end in zip(sequences.offsets, sequences.early, sequences.offsets[1:], strict=False):
        changed[start + early : end] = changed[start + early : end][::-1]
    assert not np.array_equal(changed, sequences.items)
    other = replace(sequences, items=changed)
    cases: list[tuple[Part, bool]] = [("early", True), ("whole", False)]
    for part, same in cases:
        one, two = (pretrain(s, RECIPE, 1, part=part).state_dict() for s in (sequences, other))
        assert all(torch.equal(one[name], two[name]) for name in one) == same


def test_without_a_sequence_there_is_nothing_to_learn() -> None:
    alone = Sequences.of((Signal(f"u{n}", "a", n, "click", "") for n in range(5)), 5)
    taste = pretrain(alone, RECIPE, 1, part="whole")
    assert not taste.training
    nothing = torch.zeros(1, HISTORY, CODE_LEVELS, dtype=torch.int32)
    assert taste(nothing[..., 0], nothing[..., 0], nothing, nothing).isfinite().all()


@pytest.mark.parametrize(("places", "epochs"), [(10**6, 3), (7_200, 2), (1_000, 1), (1, 1)])
def test_places_bound_the_work(sequences: Sequences, places: int, epochs: int) -> None:
    told: list[str] = []
    pretrain(
        sequences, replace(RECIPE, epochs=3, places=places, batch_rows=32), 1, part="whole", watch=Watch(told.append)
    )
    assert len(told) == epochs
    assert told[-1].startswith(f"sequences (whole), epoch {epochs} of {epochs}: loss ")


@pytest.mark.parametrize("batch_rows", [300, 50, 15, 14])
def test_any_number_of_steps_can_be_taken(sequences: Sequences, batch_rows: int) -> None:
    """With 15 rows a batch there are 20 steps, of which the warm-up is exactly one."""
    taste = pretrain(sequences, replace(RECIPE, batch_rows=batch_rows), 1, part="whole")
    assert all(weight.isfinite().all() for weight in taste.parameters())


def test_a_long_sequence_is_learned_once_whatever_it_is_cut_into() -> None:
    """One step over all rows has the gradient that a single row, as long as the sequence, would have."""
    made = Sequences.of((Signal("u", f"i{n}", n, "click", "") for n in range(3 * LENGTH)), 0)
    torch.manual_seed(1)
    taste = Taste().eval()
    negatives, log_q = torch.arange(64), torch.zeros(len(made.ids))
    losses = []
    for length in (LENGTH, 3 * LENGTH):
        rows, wanted = (torch.from_numpy(array) for array in made.windows(length, HISTORY, part="whole"))
        losses.append(_loss(taste, rows.long(), wanted, negatives, _Items.of(made), log_q).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
