"""The tasks inside aiokafka without which nothing is read or published any more, and which nobody else watches.

When one of them ends, its client still looks well: fetches bring nothing, and deliveries are tried again without end. A
coordinator that gave up waits until it is asked why, which Faust never does. So the worker looks, and ends.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

Tasks = Mapping[str, "asyncio.Task[Any] | None"]
"""By what they do; None: not begun."""


class TaskEnded(Exception):
    """A Kafka client has lost what it can't do without: the process must start again."""


def check_consumer(consumer: Any) -> None:
    """Look at an AIOKafkaConsumer, from any thread; None, and one that hasn't started, are well.

    Raises:
        TaskEnded: naming the task.
    """
    if consumer is None or consumer._closed:  # noqa: SLF001
        return
    fetcher, coordinator, client = consumer._fetcher, consumer._coordinator, consumer._client  # noqa: SLF001
    _check(
        {
            "fetcher": fetcher and fetcher._fetch_task,  # noqa: SLF001
            "coordinator": coordinator and coordinator._coordination_task,  # noqa: SLF001
            "metadata": client._sync_task,  # noqa: SLF001
        },
        "reads",
    )
    gave_up = coordinator and coordinator._pending_exception  # noqa: SLF001
    if gave_up:
        raise TaskEnded("the Kafka client that reads has given up its group") from gave_up


def check_producer(producer: Any) -> None:
    """Look at an AIOKafkaProducer; None is well.

    Raises:
        TaskEnded: naming the task.
    """
    if producer is not None and not producer._closed:  # noqa: SLF001
        tasks = {"sender": producer._sender.sender_task, "metadata": producer.client._sync_task}  # noqa: SLF001
        _check(tasks, "publishes")


def _check(tasks: Tasks, does: str) -> None:
    for name, task in tasks.items():
        if task is not None and task.done():
            because = None if task.cancelled() else task.exception()
            raise TaskEnded(f"the task {name!r} of the Kafka client that {does} has ended") from because
