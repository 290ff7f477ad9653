"""A worker that lost a task inside its Kafka clients, and so would wait for ever, ends with 70 and says why."""

import json
from pathlib import Path

import pytest

from tests.integration.conftest import RunningStack
from tests.integration.processes import await_applied, clicks, own_settings, publish, worker
from tests.support import wait_until

SABOTAGED = """
import pathlib
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.producer.message_accumulator import MessageAccumulator
from streams.cli import main
flag, (kind, name) = pathlib.Path({flag!r}), {where}
method = getattr(kind, name)
def sabotaged(*args, **more):
    if flag.exists():
        raise {error}
    return method(*args, **more)
setattr(kind, name, sabotaged)
main()
"""
"""A worker of which a method that one of aiokafka's tasks calls fails once a file is there."""


@pytest.mark.parametrize(
    ("where", "error", "said"),
    [
        ('(Fetcher, "_get_actions_per_node")', "asyncio.CancelledError", "'fetcher' of the Kafka client that reads"),
        ('(Fetcher, "_get_actions_per_node")', "ValueError('a bug')", "'fetcher' of the Kafka client that reads"),
        (
            '(MessageAccumulator, "drain_by_nodes")',
            "ValueError('a bug')",
            "'sender' of the Kafka client that publishes",
        ),
    ],
    ids=["fetcher cancelled", "fetcher failed", "sender failed"],
)
def test_a_worker_whose_client_lost_a_task_ends(
    stack: RunningStack, tmp_path: Path, where: str, error: str, said: str
) -> None:
    settings = own_settings(stack, tick_after_ms=400)
    flag = tmp_path / "flag"
    script = "import asyncio" + SABOTAGED.format(flag=str(flag), where=where, error=error)
    with worker(settings, tmp_path, python=("-c", script)) as one:
        one.await_ready()
        publish(settings, "events", clicks(100))
        await_applied(settings, 100)
        flag.touch()
        publish(settings, "events", clicks(1, start=100))  # so that there is something to do
        wait_until(one.ended, 20, "the worker to end")
        assert one.process.returncode == 70
        (last,) = one.logged("ending at once, unexpected error")
        assert f"the task {said} has ended" in json.dumps(last)
