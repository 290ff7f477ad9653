"""Parts of a log in its order: none overlaps another, a seed draws the same again, users come in turns."""

from collections import Counter

import pytest

from streams.errors import Misuse
from training.recipe import Limits
from training.splits import TRAIN, TRAIN_FROM, VALIDATION, VALIDATION_FROM, Chosen, choose
from training.steps import Step

ALL = Limits(train=10_000, validation=10_000, negatives=7)


def steps(count: int, users: int = 10) -> list[Step]:
    return [Step(f"u{n % users}", n, 3 * n, None, {"i": 1}) for n in range(count)]


def numbers(chosen: Chosen, split: str) -> list[int]:
    return [number for number, one in chosen.wanted.items() if one.split == split]


def test_parts_are_shares_of_the_log_and_dont_overlap() -> None:
    chosen = choose(reversed(steps(200)), ALL, 1)
    first, second = int(200 * TRAIN_FROM), int(200 * VALIDATION_FROM)
    assert numbers(chosen, TRAIN) == [3 * n for n in range(first, second)]
    assert numbers(chosen, VALIDATION) == [3 * n for n in range(second, 200)]
    assert (chosen.train_from, chosen.validation_from, chosen.steps) == (3 * first, 3 * second, 200)


def test_only_lists_to_learn_from_are_thinned() -> None:
    kept = {one.split: one.negatives for one in choose(steps(200), ALL, 1).wanted.values()}
    assert kept == {TRAIN: ALL.negatives, VALIDATION: 0}


def test_a_seed_draws_the_same_again_and_another_draws_others() -> None:
    few = Limits(train=20, validation=5)
    one, again, other = (choose(steps(200), few, seed) for seed in (1, 1, 2))
    assert one == again
    assert set(one.wanted) != set(other.wanted)
    for chosen in (one, other):
        assert (len(numbers(chosen, TRAIN)), len(numbers(chosen, VALIDATION))) == (20, 5)
        assert set(chosen.wanted) <= set(choose(steps(200), ALL, 1).wanted)


def test_users_have_one_number_in_both_parts() -> None:
    wanted = choose(steps(200), ALL, 1).wanted.values()
    assert len({(one.user, one.step.user_id) for one in wanted}) == len({one.user for one in wanted}) == 10


def test_who_does_a_lot_gets_no_more_turns_than_others() -> None:
    busy = [Step("busy" if n % 10 else f"u{n % 100}", n, n, None, {"i": 1}) for n in range(2_000)]
    turns = Counter(one.step.user_id for one in choose(busy, Limits(train=33, validation=11), 1).wanted.values())
    assert len(turns) == 11
    assert set(turns.values()) == {4}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_log_that_is_too_short_is_one_sentence(count: int) -> None:
    with pytest.raises(Misuse, match=f"^the log has {count} steps, which are too few"):
        choose(steps(count), ALL, 1)


@pytest.mark.parametrize("count", [3, 4, 10])
def test_where_there_are_enough_no_part_is_empty(count: int) -> None:
    chosen = choose(steps(count), ALL, 1)
    assert numbers(chosen, TRAIN)
    assert numbers(chosen, VALIDATION)
    assert 0 < chosen.train_from
