"""The learner when the log of feedback isn't what it was: the broker lost it, or retention overtook the learner."""

import os
import signal
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from streams.contracts.topics import FEEDBACK
from streams.embedded.stack import Stack
from streams.kafka_admin import admin, create_topics
from tests.integration.conftest import RunningStack
from tests.integration.processes import own_settings
from tests.integration.test_learner import count, learner, tell
from tests.support import wait_until
from tests.unit.online.records import stream


@pytest.mark.timeout(240)
def test_a_broker_that_lost_its_log_is_read_from_the_new_start_and_nothing_is_learned_twice(
    models: Path, tmp_path: Path
) -> None:
    records = list(stream(60))
    with Stack(tmp_path / "run", models) as stack:
        at = stack.addresses
        running = RunningStack(at.kafka, at.redis_url, at.triton, tmp_path / "run", Path(at.repository))
        settings = own_settings(running)
        with learner(settings, tmp_path) as process:
            tell(settings, records[:20])
            wait_until(lambda: count(settings) == 20, 60, "the first life")
            os.kill(stack.pids["broker"], signal.SIGKILL)
            wait_until(stack.check, 30, "the broker to be started again")
            create_topics(settings)
            tell(settings, records[:10])  # a worker that wasn't sure repeats what it said last
            tell(settings, records[20:])
            wait_until(lambda: count(settings) == 60, 60, "the second life")
            assert not process.ended()
            assert process.logged("the topic was made anew, learning goes on from its start")
        assert count(settings, "repeated") == 10
        assert count(settings, "lost") == 0


def test_what_retention_took_before_the_learner_came_back_is_counted_as_lost(
    stack: RunningStack, tmp_path: Path
) -> None:
    settings = own_settings(stack, partitions=1)
    records = list(stream(100))
    with learner(settings, tmp_path):
        tell(settings, records[:20])
        wait_until(lambda: count(settings) == 20, 60, "the first records")
    tell(settings, records[20:60])
    tell(settings, records[60:])
    for future in admin(settings).delete_records([TopicPartition(settings.topic(FEEDBACK), 0, 60)]).values():
        future.result(10)
    with learner(settings, tmp_path):
        wait_until(lambda: count(settings) + count(settings, "lost") == 100, 60, "the rest")
    assert count(settings, "lost") >= 1
