"""Filters, moved times and loops on the real broker."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from streams.cli import run
from streams.contracts import topics
from streams.replay import Plan, Replay, Selection
from streams.settings import Settings
from tests.deployment import Deployment
from tests.integration.conftest import RunningStack
from tests.integration.replays import START_MS, by_user, environment, event, fresh_topics, lines_of, messages_of, write
from tests.support import wait_until

USER = "user-3"
USERS = {f"user-{u}" for u in range(37)}


@pytest.fixture
def settings(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = fresh_topics(stack.kafka)
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return settings


def values(messages: list[Message]) -> list[dict[str, Any]]:
    return [json.loads(message.value()) for message in messages]


def test_only_what_is_wanted_goes_out_as_it_is(settings: Settings, tmp_path: Path) -> None:
    log, result = write(tmp_path / "log", [event(n) for n in range(1_000)]), tmp_path / "result"
    window = ["--since", str(START_MS + 100_000), "--until", str(START_MS + 900_000)]
    wanted = ["--user", USER, "--user", "user-5", "--type", "click", "--type", "cart"]
    assert run(["replay", str(log), *window, *wanted, "--verify", "--json", str(result)]) == 0
    expected = {user: [n for n in range(100, 900) if n % 37 == int(user[5:])] for user in (USER, "user-5")}
    messages = messages_of(settings)
    assert by_user(messages) == expected
    assert {message.value() for message in messages} <= set(log.read_bytes().splitlines())
    counted = json.loads(result.read_text())
    published = sum(map(len, expected.values()))
    told = {"read": 1_000, "published": published, "filtered": 1_000 - published, "rejected": 0, "rounds": 1}
    assert counted.items() >= (told | {"verified": True, "resume_line": 1_001}).items()


def test_a_filtered_replay_resumes_where_it_was_interrupted(settings: Settings) -> None:
    lines = lines_of([event(n) for n in range(3_000)])
    plan = Plan(Selection(users=frozenset({USER, "user-8"})))

    def interrupted() -> Iterator[tuple[int, bytes]]:
        yield from lines[:1_500]
        raise KeyboardInterrupt

    first = Replay(settings, plan=plan)
    with pytest.raises(KeyboardInterrupt):
        first.run(interrupted())
    assert first.remedy == f"resume with --from {first.resume_line}"
    assert first.counts.published + first.counts.filtered == first.counts.read == 1_500
    assert first.resume_line == 1_501, "what is left out needs no acknowledgement"
    second = Replay(settings, plan=Plan(plan.selection, from_line=first.resume_line))
    second.run(lines)
    assert by_user(messages_of(settings)) == {f"user-{u}": list(range(u, 3_000, 37)) for u in (3, 8)}


def test_at_full_speed_a_log_is_moved_so_that_it_ends_now(settings: Settings, tmp_path: Path) -> None:
    events = [event(n) | {"extra": {"n": n}} for n in range(500)]
    request = {"type": "request", "request_id": "r", "deadline_ms": START_MS + 7_300, "at_ms": START_MS + 7_000}
    events.insert(7, event(7) | request)
    log = write(tmp_path / "log", events)
    before_ms = time.time_ns() // 1_000_000
    assert run(["replay", str(log), "--times", "now"]) == 0
    arrived = values(messages_of(settings))
    shift_ms = max(one["at_ms"] for one in arrived) - (START_MS + 499_000)
    assert before_ms <= START_MS + 499_000 + shift_ms <= time.time_ns() // 1_000_000
    expected = [one | {"at_ms": one["at_ms"] + shift_ms} for one in events]
    expected[7]["deadline_ms"] = START_MS + 7_300 + shift_ms
    assert sorted(arrived, key=json.dumps) == sorted(expected, key=json.dumps)


def test_at_a_tempo_every_event_is_dated_when_it_is_published(settings: Settings, tmp_path: Path) -> None:
    log = write(tmp_path / "log", [event(n, step_ms=500) for n in range(100)])
    assert run(["replay", str(log), "--times", "now", "--speed", "50"]) == 0
    messages = messages_of(settings)
    assert len(messages) == 100
    at_ms = {int(one["event_id"]): one["at_ms"] for one in values(messages)}
    assert [at_ms[n] - at_ms[0] for n in range(100)] == [10 * n for n in range(100)]
    late_ms = [message.timestamp()[1] - json.loads(message.value())["at_ms"] for message in messages]
    assert -5 <= min(late_ms), "none is dated after it was published"
    assert max(late_ms) < 5_000


def test_a_loop_goes_on_in_time_with_new_events_in_order(settings: Settings, tmp_path: Path) -> None:
    log, result = write(tmp_path / "log", [event(n) for n in range(370)]), tmp_path / "result"
    assert run(["replay", str(log), "--loop", "3", "--verify", "--json", str(result)]) == 0
    messages = messages_of(settings)
    seen: dict[str, list[tuple[str, int]]] = {}
    for one in values(messages):
        seen.setdefault(one["user_id"], []).append((one["event_id"], one["at_ms"]))
    assert seen.keys() == USERS
    for user, pairs in seen.items():
        own = range(int(user[5:]), 370, 37)
        assert pairs == [
            (f"{n}{suffix}", START_MS + (n + 370 * round_) * 1_000)
            for round_, suffix in enumerate(("", "~2", "~3"))
            for n in own
        ]
    counted = json.loads(result.read_text())
    assert counted.items() >= {"published": 1_110, "rounds": 3, "verified": True, "resume_line": None}.items()


def test_a_loop_without_end_ends_with_ctrl_c(settings: Settings, tmp_path: Path) -> None:
    log, result = write(tmp_path / "log", [event(n) for n in range(50)]), tmp_path / "result"
    options = ["--loop", "forever", "--times", "now", "--speed", "100", "--json", str(result)]
    command = [sys.executable, "-m", "streams.cli", "replay", str(log), *options]
    with subprocess.Popen(command, env=os.environ.copy(), stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: len(messages_of(settings)) > 120, 30, "the third round")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert re.search(r"interrupted: this was round \d+ of a loop", errors)
    counted = json.loads(result.read_text())
    assert counted["rounds"] >= 2
    assert counted["resume_line"] is None
    assert max(one["at_ms"] for one in values(messages_of(settings))) <= time.time_ns() // 1_000_000


def test_the_worker_applies_every_round_and_answers_its_requests_in_time(
    stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Deployment(stack.kafka, stack.redis_url, stack.triton, tmp_path, triton_timeout_s=5)
    for name, value in environment(shop.settings).items():
        monkeypatch.setenv(name, value)
    request = {"type": "request", "request_id": "r", "event_id": "r", "user_id": USER, "at_ms": START_MS + 99_500}
    events = [*(event(n) for n in range(100)), request | {"deadline_ms": START_MS + 129_500}]
    options = ["--loop", "3", "--times", "now", "--speed", "1000", "--verify"]

    async def stats() -> dict[str, int]:
        store = shop.store()
        try:
            return dict(await store.stats(range(shop.settings.partitions)))
        finally:
            await store.close()

    try:
        shop.start_worker()
        assert run(["replay", str(write(tmp_path / "log", events)), *options]) == 0
        wait_until(lambda: asyncio.run(stats()).get("applied", 0) >= 303, 30, "all events applied")
        counted = asyncio.run(stats())
        assert (counted["applied"], counted.get("duplicates", 0), counted.get("dead_letters", 0)) == (303, 0, 0)
        answers = [slate["request_id"] for slate in shop.values(topics.RECOMMENDATIONS)]
        assert answers == ["r", "r~2", "r~3"]
    finally:
        shop.stop()
