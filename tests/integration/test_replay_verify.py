"""--verify finds its own messages on the real broker, and what is lost, repeated or out of order."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer

from streams.cli import run
from streams.commands import replaying
from streams.contracts import topics
from streams.event_log import EventLog
from streams.kafka_admin import admin, create_topics
from streams.replay import Counts, NotVerified, Plan, Replay
from streams.settings import Settings
from tests.integration.conftest import RunningStack
from tests.integration.replays import environment, event, fresh_topics, lines_of, messages_of, write
from tests.support import wait_until

Lines = Iterator[tuple[int, bytes]]


@pytest.fixture
def settings(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = fresh_topics(stack.kafka)
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return settings


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
