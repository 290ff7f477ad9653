"""A trial counts each slate once, for the arm of its user, whoever goes on with it."""

from typing import Any

from msgspec import structs

from streams.contracts.slates import Feedback, Shown
from streams.rollout.canary import is_served
from streams.rollout.comparison import CANARY, CHAMPION
from streams.rollout.trial import Arms, Trial
from tests.unit.building import T0

ARMS = Arms("ranker", 1, 2, 0.5, 7)
USERS = [f"u{n}" for n in range(40)]
OURS = next(user for user in USERS if is_served(user, 2, 0.5))
THEIRS = next(user for user in USERS if not is_served(user, 2, 0.5))


def record(number: int, user: str, model: str | None, *outcomes: Any, partition: int = 0) -> Feedback:
    items = [
        Shown(item_id=f"i{n}", position=n, propensity=1, features=[], pairs=[], item_code=[], outcome=outcome)
        for n, outcome in enumerate([None, *outcomes])
    ]
    return Feedback(
        feedback_id=f"0-{partition}-{number}-0", slate_id=f"0-0-{number}", request_id="r", user_id=user, at_ms=T0,
        items=items, seeds=[], history_ids=[], history_codes=[], model=model,
    )  # fmt: skip


def counts(trial: Trial) -> list[list[int]]:
    """Return slates, clicked and bought of each arm."""
    found: list[list[int]] = trial.tally.counts.sum(axis=1).tolist()
    return found


def test_a_slate_counts_for_the_arm_of_its_user() -> None:
    trial = Trial(ARMS, {0: 0})
    trial.take(0, 0, record(0, OURS, "ranker/2", "click"))
    trial.take(0, 1, record(1, OURS, "ranker/2", "purchase"))
    trial.take(0, 2, record(2, THEIRS, "ranker/1", "cart", "click"))
    trial.take(0, 3, None)
    assert counts(trial)[CANARY] == [2, 2, 1]
    assert counts(trial)[CHAMPION] == [1, 1, 0]
    assert trial.offsets == {0: 4}


def test_a_canary_that_does_not_answer_is_judged_for_what_stood_in() -> None:
    trial = Trial(ARMS, {0: 0})
    trial.take(0, 0, record(0, OURS, None))
    assert counts(trial) == [[0, 0, 0], [1, 0, 0]]


def test_what_is_not_of_the_join_is_passed_over() -> None:
    trial = Trial(ARMS, {0: 0})
    trial.take(0, 0, structs.replace(record(0, OURS, "ranker/2"), feedback_id="mine"))
    assert counts(trial) == [[0, 0, 0], [0, 0, 0]]
    assert trial.offsets == {0: 1}


def test_what_was_served_before_the_trial_is_left_out() -> None:
    trial = Trial(ARMS, {0: 0})
    trial.take(0, 0, record(0, OURS, "ranker/1", "click"))
    trial.take(0, 1, record(1, THEIRS, "ranker/2", "click"))
    trial.take(0, 2, record(2, THEIRS, "ranker/9", "click"))  # the champion before this one
    assert counts(trial) == [[0, 0, 0], [0, 0, 0]]


def test_repeats_are_dropped_by_partition_also_after_going_on() -> None:
    log = [(p, n, record(n, USERS[n], None, "click", partition=p)) for p in (0, 1) for n in range(20)]
    whole = Trial(ARMS, {0: 0, 1: 0})
    for one in log:
        whole.take(*one)
    assert sum(arm[0] for arm in counts(whole)) == 40
    again = Trial(ARMS, {0: 0, 1: 0})
    for n, (partition, offset, one) in enumerate(log):
        if n % 7 == 0:
            again = Trial.unpack(again.pack())
        again.take(partition, offset, one)
        again.take(partition, offset + 1, one)
    assert counts(again) == counts(whole)
    assert again.arms == ARMS
