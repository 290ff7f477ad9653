"""The learner when the broker lost the log of feedback."""

import os
import signal
from pathlib import Path

import pytest

from streams.embedded.stack import Stack
from streams.kafka_admin import create_topics
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
