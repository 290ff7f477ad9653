"""The loop is closed when all that the join wrote is on the topic and learned; what came too late is told."""

import pytest

from streams.demo.loop import Learned, Loop

STATS = {"feedback_written": 5, "feedback_late": 2, "feedback_orphaned": 1, "feedback_repeated": 9}
ALL = Learned(version=3, counts={"learned": 4, "unseen": 1, "repeated": 0}, losses={"ranker": 0.25})


@pytest.mark.parametrize(
    ("records", "learned", "settled"),
    [(5, ALL, True), (4, ALL, False), (5, Learned(), False), (5, Learned(counts={"learned": 4}), False)],
)
def test_it_is_settled_once_every_record_is_on_the_topic_and_learned(
    records: int, learned: Learned, settled: bool
) -> None:
    assert Loop.of(records, STATS, learned).settled is settled


def test_before_the_first_slate_nothing_is_missing() -> None:
    assert Loop.of(0, {}, Learned()).settled


def test_it_tells_what_was_joined_and_learned_and_what_came_too_late() -> None:
    assert Loop.of(5, STATS, ALL).told() == {
        "feedback_records": 5,
        "unjoined": 3,
        "learner_records": 4,
        "unseen_records": 1,
        "learner_version": 3,
        "log_loss": {"ranker": 0.25},
    }
