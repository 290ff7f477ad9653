"""The loop is closed when all that the join wrote is on the topic, and what came too late is told."""

from streams.demo.loop import Loop


def test_it_is_settled_once_every_record_is_on_the_topic() -> None:
    stats = {"feedback_written": 5, "feedback_late": 2, "feedback_orphaned": 1, "feedback_repeated": 9}
    assert not Loop.of(4, stats).settled
    assert Loop.of(5, stats).settled
    assert Loop.of(5, stats).told() == {"feedback_records": 5, "unjoined": 3}


def test_before_the_first_slate_nothing_is_missing() -> None:
    assert Loop.of(0, {}).settled
