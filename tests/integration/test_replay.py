import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.cli import run
from streams.contracts import topics
from streams.contracts.partition import partition_of
from streams.contracts.wire import MAX_MESSAGE_BYTES
from streams.embedded.broker import Broker
from streams.embedded.process import Guard
from streams.errors import BadEvent
from streams.event_log import read_lines
from streams.kafka_admin import TopicsMissing
from streams.replay import Counts, DeliveryFailed, Plan, Replay, producer
from streams.settings import Settings
from tests.integration.conftest import RunningStack
from tests.integration.replays import PARTITIONS, by_user, environment, event, fresh_topics, messages_of, write
from tests.support import wait_until


@pytest.fixture
def settings(stack: RunningStack) -> Settings:
    return fresh_topics(stack.kafka)


def test_every_line_arrives_as_it_is_in_order_per_user_and_where_murmur2_says(
    settings: Settings, tmp_path: Path
) -> None:
    log = write(tmp_path / "log", [event(n) for n in range(5_000)])
    told: list[int] = []
    counts = Replay(settings, on_progress=lambda c: told.append(c.published)).run(read_lines(log))
    assert counts == Counts(read=5_000, published=5_000, rejected=0, rounds=1)
    assert told == sorted(told)
    assert told[-1] == 5_000
    messages = messages_of(settings)
    assert len(messages) == 5_000
    assert {message.value() for message in messages} == set(log.read_bytes().splitlines())
    assert by_user(messages) == {f"user-{u}": list(range(u, 5_000, 37)) for u in range(37)}
    assert all(message.partition() == partition_of(message.key(), PARTITIONS) for message in messages)
    assert len({message.partition() for message in messages}) == PARTITIONS


def test_from_leaves_out_the_lines_before_it(settings: Settings, tmp_path: Path) -> None:
    log = write(tmp_path / "log", [event(n) for n in range(100)])
    resumed = Replay(settings, plan=Plan(from_line=91))
    assert resumed.resume_line == 91
    assert resumed.run(read_lines(log)) == Counts(read=10, published=10, rejected=0, rounds=1)
    assert resumed.resume_line == 101
    assert sorted(n for users in by_user(messages_of(settings)).values() for n in users) == list(range(90, 100))


def test_lines_that_are_no_events_are_counted_and_named_and_the_rest_goes_out(
    settings: Settings,
) -> None:
    good = [json.dumps(event(n)).encode() for n in range(3)]
    huge = b'{"user_id":"u","x":"' + b"y" * MAX_MESSAGE_BYTES + b'"}'
    largest = b'{"user_id":"u","event_id":"9","x":"'
    largest += b"y" * (MAX_MESSAGE_BYTES - len(largest) - 2) + b'"}'
    lines = [good[0], b"not json", b"[1]", b'{"type":"click"}', good[1], huge, b'{"user_id":7}', good[2], largest]
    named: list[tuple[int, str]] = []
    running = Replay(settings, on_reject=lambda line, error: named.append((line, error.path)))
    assert running.run(enumerate(lines, 1)) == Counts(read=9, published=4, rejected=5, rounds=1)
    assert named == [(2, "$"), (3, "$"), (4, "$"), (6, "$"), (7, "$.user_id")]
    assert sorted(message.value() for message in messages_of(settings)) == sorted([*good, largest])


def test_a_tempo_is_kept_by_the_logs_own_times(settings: Settings) -> None:
    lines = [json.dumps(event(n, step_ms=40)).encode() for n in range(11)]
    late = json.dumps(event(-100)).encode()
    paced = [*lines, late]
    running = Replay(settings, plan=Plan(speed=2.0))
    began = time.monotonic()
    assert running.run(enumerate(paced, 1)).published == 12
    assert time.monotonic() - began >= 0.2  # 400 ms of the log at twice its tempo


def test_a_catalogue_goes_to_items_by_item_id(settings: Settings, tmp_path: Path) -> None:
    items = [{"item_id": f"sku-{n}", "title": "Größe"} for n in range(300)]
    log = write(tmp_path / "items.jsonl", items)
    rejected: list[BadEvent] = []
    running = Replay(settings, topics.ITEMS, on_reject=lambda _, error: rejected.append(error))
    assert running.run(read_lines(log)).published == 300
    messages = messages_of(settings, topics.ITEMS)
    assert len(messages) == 300
    assert {message.key().decode(): json.loads(message.value()) for message in messages} == {
        item["item_id"]: item for item in items
    }
    assert all(message.partition() == partition_of(message.key(), PARTITIONS) for message in messages)
    assert rejected == []


def test_a_missing_topic_is_a_sentence(stack: RunningStack) -> None:
    nowhere = Settings(kafka_bootstrap=stack.kafka, partitions=PARTITIONS, topic_prefix=f"none-{uuid.uuid4().hex}.")
    with pytest.raises(TopicsMissing, match=r"events is missing: run `streamrank topics create`"):
        Replay(nowhere)


def test_a_failed_delivery_names_the_line_to_resume_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "DELIVERY_TIMEOUT_S", 2.0)
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    guard = Guard(lock)
    broker = Broker(tmp_path, guard)
    broker.launch()
    broker.await_ready(20)
    running = Replay(fresh_topics(broker.address))

    def lines() -> Iterator[tuple[int, bytes]]:
        for n in range(2_000):
            if n == 1_000:
                wait_until(lambda: running.poll() or running.counts.published == 1_000)
                broker.bury()
            yield n + 1, json.dumps(event(n)).encode()

    with pytest.raises(DeliveryFailed, match=r"line 1\d\d\d: .*: resume with --from 1001$") as caught:
        running.run(lines())
    assert caught.value.exit_code == 1
    assert running.counts.published == 1_000
    guard.close()
    os.close(lock)


def test_ctrl_c_says_where_to_resume_and_resuming_completes_the_log(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write(tmp_path / "log", [event(n, step_ms=100) for n in range(1_000)])
    program = "from streams.cli import main; main()"
    result = tmp_path / "result.json"
    arguments = ["replay", str(log), "--speed", "1", "--json", str(result)]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | environment(settings),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: len(messages_of(settings)) >= 20, 20, "the first events")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    match = re.search(r"interrupted: resume with --from (\d+)", errors)
    assert match, errors
    resume = int(match[1])
    counted = json.loads(result.read_text())
    assert counted["resume_line"] == resume
    assert 20 <= counted["published"] < 900
    assert resume == counted["published"] + 1
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    assert run(["replay", str(log), "--from", str(resume), "--json", str(result)]) == 0
    assert json.loads(result.read_text())["published"] == 1_000 - resume + 1
    assert by_user(messages_of(settings)) == {f"user-{u}": list(range(u, 1_000, 37)) for u in range(37)}


def test_the_command_publishes_a_folder_and_names_its_mistakes(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    write(tmp_path / "items.jsonl", [{"item_id": "i1"}, {"item_id": "i2"}])
    write(tmp_path / "events.jsonl", [event(1), {"type": "click"}, event(2)])
    assert run(["replay", str(tmp_path)]) == 0
    out, err = capfd.readouterr()
    assert "items: 2 published in" in out
    assert "events: 2 published, 1 rejected in" in out
    assert re.search(r"events\.jsonl:2: not published: .*user_id", err)
    assert len(messages_of(settings)) == 2
    assert run(["replay", str(tmp_path / "items.jsonl")]) == 2
    assert "none of its 2 lines could be published to events" in capfd.readouterr().err
    assert run(["replay", str(tmp_path), "--from", "9"]) == 2
    assert "--from 9 is behind its end: it has 3 lines" in capfd.readouterr().err
    assert run(["replay", str(tmp_path), "--speed", "0"]) == 2
    assert "0 is neither a number from 0.001 to 1,000,000,000 nor max" in capfd.readouterr().err
