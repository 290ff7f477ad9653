"""Filters, moved times, loops and --verify on the real broker."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer

from streams.cli import run
from streams.commands import replaying
from streams.contracts import topics
from streams.event_log import EventLog, read_lines
from streams.kafka_admin import admin, create_topics
from streams.replay import Counts, NotVerified, Plan, Replay, Selection
from streams.settings import Settings
from tests.integration.conftest import RunningStack
from tests.integration.replays import START_MS, by_user, environment, event, fresh_topics, messages_of, write
from tests.support import wait_until

USER = "user-3"
USERS = {f"user-{u}" for u in range(37)}
Lines = Iterator[tuple[int, bytes]]


@pytest.fixture
def settings(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = fresh_topics(stack.kafka)
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return settings


def values(messages: list[Message]) -> list[dict[str, Any]]:
    return [json.loads(message.value()) for message in messages]


def lines_of(events: list[dict[str, Any]]) -> list[tuple[int, bytes]]:
    return [(number, json.dumps(value).encode()) for number, value in enumerate(events, 1)]


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

    def interrupted() -> Lines:
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


def copy(settings: Settings, messages: list[Message]) -> None:
    """Publish these messages once more, each where it was."""
    producer = Producer(settings.kafka_client_config() | {"enable.idempotence": True})
    for one in messages:
        producer.produce(one.topic(), one.value(), one.key(), partition=one.partition(), headers=one.headers() or [])
    assert producer.flush(10) == 0


def verified(settings: Settings, plant: Callable[[], object]) -> int:
    """Publish 300 lines to topics that hold others, do `plant` once Kafka has acknowledged them, and verify."""
    Replay(settings).run(lines_of([event(n) for n in range(100)]))
    running = Replay(settings, plan=Plan(verify=True))

    def lines() -> Lines:
        yield from lines_of([event(n) for n in range(300)])
        wait_until(lambda: running.poll() or running.counts.published == 300)
        plant()

    assert running.run(lines()) == Counts(read=300, published=300, rounds=1)
    return running.verify()


def emptied(settings: Settings) -> list[Message]:
    """Make `events` anew; return what it held, by partition and offset."""
    held = sorted(messages_of(settings), key=lambda message: (message.partition(), message.offset()))
    name = settings.topic(topics.EVENTS)
    client = admin(settings)  # dropping it would end its futures
    client.delete_topics([name])[name].result(10)
    wait_until(lambda: create_topics(settings) == [name], what="the topic made anew")
    return held


def test_verify_counts_its_own_messages_among_others(settings: Settings) -> None:
    others = Replay(settings, plan=Plan(verify=True))
    assert verified(settings, lambda: others.run(lines_of([event(n) for n in range(50)]))) == 300
    assert others.verify() == 50


def test_verify_finds_a_message_that_is_there_twice(settings: Settings) -> None:
    with pytest.raises(
        NotVerified, match=r"partition \d of .*events acknowledged \d+ messages of this replay and"
    ) as caught:
        verified(settings, lambda: copy(settings, messages_of(settings)[-1:]))
    acknowledged, held = map(int, re.findall(r"(?:holds|acknowledged) (\d+)", str(caught.value)))
    assert held == acknowledged + 1


def test_verify_finds_what_is_lost(settings: Settings) -> None:
    with pytest.raises(
        NotVerified, match=r"acknowledged \d+ messages of this replay and holds \d+: see the broker's log$"
    ) as caught:
        verified(settings, lambda: copy(settings, emptied(settings)[:-1]))
    acknowledged, held = map(int, re.findall(r"(?:holds|acknowledged) (\d+)", str(caught.value)))
    assert held == acknowledged - 1


def test_verify_finds_another_order(settings: Settings) -> None:
    def swapped() -> list[Message]:
        *others, last_but_one, last = emptied(settings)
        return [*others, last, last_but_one]

    assert verified(settings, lambda: copy(settings, emptied(settings))) == 300
    with pytest.raises(NotVerified, match=r"out of order \(1 of \d+\): see the broker's log$"):
        verified(settings, lambda: copy(settings, swapped()))


def test_a_replay_that_is_not_verified_exits_with_1_and_says_so_in_its_result(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Copied(EventLog):
        def __iter__(self) -> Lines:
            yield from super().__iter__()
            wait_until(lambda: (running[0].poll(), running[0].counts.published == 100)[1])
            copy(settings, messages_of(settings)[:1])

    class Known(Replay):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            running.append(self)

    running: list[Replay] = []
    monkeypatch.setattr(replaying, "EventLog", Copied)
    monkeypatch.setattr(replaying, "Replay", Known)
    log, result = write(tmp_path / "log", [event(n) for n in range(100)]), tmp_path / "result"
    assert run(["replay", str(log), "--verify", "--json", str(result)]) == 1
    out, error = capfd.readouterr()
    assert "published" not in out
    assert re.search(r"^streamrank: Kafka at .*: partition \d of .* acknowledged \d+ messages of this", error, re.M)
    assert json.loads(result.read_text()).items() >= {"published": 100, "verified": False}.items()


def test_a_folder_and_a_catalogue_are_verified_too(
    settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "items.jsonl", [{"item_id": f"i{n}"} for n in range(30)])
    write(tmp_path / "events.jsonl", [event(n) for n in range(40)])
    assert run(["replay", str(tmp_path), "--verify", "--type", "click", "--times", "now"]) == 0
    out = capfd.readouterr().out
    assert re.search(r"^items: 30 published in .*; Kafka holds them all$", out, re.MULTILINE)
    assert re.search(r"^events: 40 published in .*; Kafka holds them all$", out, re.MULTILINE)
    assert run(["replay", str(tmp_path), "--items", "--from", "21", "--verify"]) == 0
    assert "items: 10 published" in capfd.readouterr().out
    assert len(messages_of(settings, topics.ITEMS)) == 40
    assert list(read_lines(tmp_path / "items.jsonl"))[20:] == [
        (n + 1, b'{"item_id": "i%d"}' % n) for n in range(20, 30)
    ]
