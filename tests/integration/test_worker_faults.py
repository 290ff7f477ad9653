"""Servers that go away while the worker runs: nothing is lost, and it recovers by itself."""

import json
import os
import signal
from itertools import count
from pathlib import Path
from typing import Any

import redis

from streams.embedded.stack import Stack
from tests.integration.conftest import RunningStack
from tests.integration.processes import (
    Reader,
    await_applied,
    catalogue,
    clicks,
    own_settings,
    publish,
    request,
    stored,
    worker,
)
from tests.support import wait_until
from tests.valkey import valkey

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def test_redis_that_is_killed_and_comes_back(stack: RunningStack, tmp_path: Path) -> None:
    with valkey(tmp_path, *DURABLE) as port:
        settings = own_settings(stack, redis_url=f"redis://127.0.0.1:{port}/0", redis_timeout_s=0.5)
        running = worker(settings, tmp_path)
        one = running.__enter__()
        one.await_ready()
        publish(settings, "events", clicks(1_000))
        await_applied(settings, 1_000)
    try:
        publish(settings, "events", clicks(1_000, start=1_000))
        wait_until(lambda: one.answers("/readyz")[0] == 503, what="the worker to wait for Redis")
        assert one.answers("/livez")[0] == 200
        with valkey(tmp_path, *DURABLE, port=port):
            wait_until(lambda: one.answers("/readyz")[0] == 200, 20, "the worker to go on")
            await_applied(settings, 2_000)
            assert not one.ended()
    finally:
        running.__exit__(None, None, None)


def test_triton_that_is_killed_and_comes_back(stack: RunningStack, models: Path, tmp_path: Path) -> None:
    with Stack(tmp_path / "own", models) as own:
        settings = own_settings(stack, triton_address=own.addresses.triton, triton_timeout_s=2.0)
        with worker(settings, tmp_path) as one:
            one.await_ready()
            publish(settings, "items", [(b"i1", b'{"item_id":"i1"}')])
            wait_until(lambda: catalogue(settings), 20, "the item")
            slates = Reader(settings, "recommendations")
            numbers = count()

            def served() -> dict[str, Any]:
                """Ask once more and return the answer."""
                name = f"r{next(numbers)}"
                publish(settings, "events", [request("u1", name)])
                values = slates.until(lambda found: found[-1:] and found[-1]["request_id"] == name, 20, name)
                return dict(values[-1])

            wait_until(lambda: served()["served_by"] == "triton", 20, "slates by Triton")
            os.kill(own.pids["triton"], signal.SIGKILL)
            degraded = served()
            assert degraded["served_by"] == "popular"
            assert "ranker/1" in degraded["because"]
            assert [item["item_id"] for item in degraded["items"]] == ["i1"]
            wait_until(lambda: served()["because"].startswith("circuit open"), 20, "the breaker to open")
            wait_until(own.check, 10, "the restart")
            wait_until(lambda: served()["served_by"] == "triton", 20, "slates by Triton again")
            assert stored(settings)["slates"] == next(numbers)


def test_redis_that_was_rolled_back(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    with worker(settings, tmp_path) as one, redis.Redis.from_url(stack.redis_url) as client:
        one.await_ready()
        publish(settings, "events", clicks(500))
        await_applied(settings, 500)
        before = {key: client.dump(key) for key in client.keys(settings.key_prefix + "*")}
        publish(settings, "events", clicks(500, start=500))
        await_applied(settings, 1_000)
        with client.pipeline() as rollback:  # in one step, as the worker writes meanwhile
            rollback.delete(*client.keys(settings.key_prefix + "*"))
            for key, value in before.items():
                rollback.restore(key, 0, value, replace=True)
            rollback.execute()
        publish(settings, "events", clicks(500, start=1_000))
        await_applied(settings, 1_500)
        assert one.logged("commit refused, reading on from what is stored")


def test_what_is_wrong_with_items_is_a_dead_letter(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    good = {"item_id": "i1", "title": "a shoe", "category": ["shoes"], "price": 10.0}
    with worker(settings, tmp_path) as one:
        one.await_ready()
        publish(
            settings,
            "items",
            [
                (b"i1", json.dumps(good).encode()),
                (None, json.dumps(good).encode()),
                (b"i2", json.dumps(good).encode()),
                (b"i3", b'{"item_id":"i3","price":"dear"}'),
                (b"i4", json.dumps(good | {"item_id": "i4"}).encode()),
                (b"i4", None),
            ],
        )
        letters = Reader(settings, "dead-letters").until(lambda found: len(found) >= 3, 20, "three dead letters")
        assert sorted(letter["path"] for letter in letters) == ["$.item_id", "$.price", "$key"]
        wait_until(lambda: catalogue(settings) == {"i1": good}, 20, "the one good item that is left")


def test_a_silent_partition_gets_ticks(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack, tick_after_ms=200)
    with worker(settings, tmp_path) as one:
        one.await_ready()
        assert "ticks" not in stored(settings)
        publish(settings, "events", clicks(1))
        wait_until(lambda: stored(settings).get("ticks", 0) >= 4, 20, "ticks on both partitions")
        assert stored(settings)["applied"] == 1
