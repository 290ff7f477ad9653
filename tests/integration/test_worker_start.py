"""What is wrong at the start is one sentence and exit code 1; SIGTERM is exit code 0 within seconds."""

import re
import signal
from pathlib import Path

import pytest
import redis

from streams.embedded.server import free_port
from tests.integration.conftest import RunningStack
from tests.integration.processes import (
    await_applied,
    clicks,
    environment,
    own_settings,
    publish,
    verb,
    worker,
)


@pytest.mark.parametrize(
    ("setting", "value", "server"),
    [
        ("kafka_bootstrap", "127.0.0.1:{}", "Kafka"),
        ("redis_url", "redis://127.0.0.1:{}/0", "Redis"),
        ("triton_address", "127.0.0.1:{}", "Triton"),
    ],
)
def test_a_server_that_is_away_is_one_sentence(stack: RunningStack, setting: str, value: str, server: str) -> None:
    settings = own_settings(stack)
    port = free_port()
    ended = verb("worker", env=environment(settings, **{setting: value.format(port)}))
    assert ended.returncode == 1
    sentence = f"streamrank: {server} at 127\\.0\\.0\\.1:{port} does not answer.*: start it, or correct {setting}\n"
    assert re.fullmatch(sentence, ended.stderr)


def test_a_model_version_that_is_not_served_is_named(stack: RunningStack) -> None:
    ended = verb("worker", env=environment(own_settings(stack), triton_version=77))
    assert ended.returncode == 1
    assert ended.stderr == f"streamrank: Triton at {stack.triton} does not serve ranker/77\n"


def test_missing_topics_and_other_partition_counts_are_named(stack: RunningStack) -> None:
    settings = own_settings(stack)
    ended = verb("worker", env=environment(settings, partitions=3))
    assert ended.returncode == 1
    assert "has 2 partitions, the setting partitions says 3" in ended.stderr
    ended = verb("worker", env=environment(settings, topic_prefix="nobody-made-"))
    assert ended.returncode == 1
    assert "topic nobody-made-events is missing: run `streamrank topics create`" in ended.stderr


def test_state_that_redis_lost_is_noticed(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    with worker(settings, tmp_path) as one:
        one.await_ready()
        publish(settings, "events", clicks(100))
        await_applied(settings, 100)
        one.process.terminate()
        assert one.process.wait(15) == 0
    with redis.Redis.from_url(stack.redis_url) as client:
        client.delete(*client.keys(settings.key_prefix + "*"))
    ended = verb("worker", env=environment(settings))
    assert ended.returncode == 1
    assert "run `streamrank backfill`" in ended.stderr


def test_sigterm_commits_leaves_the_group_and_ends_with_0(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    with worker(settings, tmp_path) as one:
        one.await_ready()
        publish(settings, "events", clicks(5_000))
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(10) == 0
    with worker(settings, tmp_path) as two:
        two.await_ready()
        await_applied(settings, 5_000)


def test_sigterm_while_joining_ends_with_0(stack: RunningStack, tmp_path: Path) -> None:
    with worker(own_settings(stack), tmp_path) as one:
        while not one.logged("metrics"):
            assert not one.ended(), one.log.read_text()
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(15) == 0
