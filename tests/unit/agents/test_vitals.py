"""A Kafka client that lost one of its tasks is found out; one that is well, closed or not begun is left alone."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.vitals import TaskEnded, check_consumer, check_producer

READING = ("_fetcher._fetch_task", "_coordinator._coordination_task", "_client._sync_task")
PUBLISHING = ("_sender.sender_task", "client._sync_task")


def running() -> "asyncio.Task[Any]":
    return asyncio.create_task(asyncio.Event().wait())


def consumer() -> Any:
    return SimpleNamespace(
        _closed=False,
        _fetcher=SimpleNamespace(_fetch_task=running()),
        _coordinator=SimpleNamespace(_coordination_task=running(), _pending_exception=None),
        _client=SimpleNamespace(_sync_task=running()),
    )


def producer() -> Any:
    return SimpleNamespace(
        _closed=False, _sender=SimpleNamespace(sender_task=running()), client=SimpleNamespace(_sync_task=running())
    )


async def end(client: Any, path: str, how: str) -> None:
    """Let the task at this path return, fail or be cancelled."""

    async def ending() -> None:
        if how == "fails":
            raise ValueError("a bug")

    owner, name = path.split(".")
    task = running() if how == "is cancelled" else asyncio.create_task(ending())
    task.cancel() if how == "is cancelled" else None
    setattr(getattr(client, owner), name, task)
    await asyncio.wait([task])


@pytest.mark.parametrize("how", ["returns", "fails", "is cancelled"])
@pytest.mark.parametrize(
    ("make", "check", "path"),
    [(consumer, check_consumer, path) for path in READING] + [(producer, check_producer, path) for path in PUBLISHING],
)
def test_a_task_that_ends_is_found(make: Callable[[], Any], check: Callable[[Any], None], path: str, how: str) -> None:
    async def scenario() -> None:
        client = make()
        check(client)
        await end(client, path, how)
        with pytest.raises(TaskEnded, match="has ended") as found:
            check(client)
        assert isinstance(found.value.__cause__, ValueError) == (how == "fails")
        client._closed = True  # noqa: SLF001
        check(client)

    asyncio.run(scenario())


def test_a_coordinator_that_gave_up_is_found() -> None:
    async def scenario() -> None:
        client = consumer()
        client._coordinator._pending_exception = why = ValueError("not allowed")  # noqa: SLF001
        with pytest.raises(TaskEnded, match="given up its group") as found:
            check_consumer(client)
        assert found.value.__cause__ is why

    asyncio.run(scenario())


def test_what_has_not_begun_is_well() -> None:
    check_consumer(None)
    check_producer(None)
    check_consumer(
        SimpleNamespace(_closed=False, _fetcher=None, _coordinator=None, _client=SimpleNamespace(_sync_task=None))
    )
