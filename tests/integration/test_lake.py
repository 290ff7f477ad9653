"""The lake filled from a real broker: each record once, whenever it is killed; and a backfill of it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Producer

from streams.contracts.topics import EVENTS
from streams.event_log import EventLog
from streams.kafka_admin import TopicsMissing
from streams.lake import kafka
from streams.lake.archive import Archived, archive
from streams.lake.files import LakeFiles
from streams.lake.kafka import opened
from streams.settings import Settings
from tests.integration.conftest import RunningStack
from tests.integration.processes import PARTITIONS, environment, own_settings, verb
from tests.unit.lake.memory import Killed, Mortal, lake, places

TODAY = "2100-01-01"


def publish(settings: Settings, first: int, count: int) -> None:
    producer = Producer({**settings.kafka_client_config(), "partitioner": "murmur2_random", "log_level": 0})
    for n in range(first, first + count):
        value: dict[str, Any] = {"type": "click", "event_id": str(n), "user_id": f"u{n % 9}", "item_id": f"i{n}"}
        producer.produce(settings.topic(EVENTS), json.dumps(value), value["user_id"])
    assert producer.flush(20) == 0


def filled(settings: Settings, files: LakeFiles) -> Archived:
    with opened(settings, EVENTS) as source:
        return archive(files, EVENTS, source, TODAY)


def test_each_record_is_in_it_once_whenever_it_is_killed(stack: RunningStack, tmp_path: Path) -> None:
    settings, files = own_settings(stack), lake(tmp_path)
    publish(settings, 0, 300)
    for lives in range(2 * PARTITIONS):  # a file of each partition is written, then renamed
        with pytest.raises(Killed):
            filled(settings, Mortal(str(tmp_path), lives))
        publish(settings, 300 + 10 * lives, 10)
    filled(settings, files)
    seen = places(files)
    assert len(seen) == len(set(seen)) == 300 + 10 * 2 * PARTITIONS
    assert filled(settings, files) == Archived()
    for partition in range(PARTITIONS):
        offsets = [offset for p, offset in seen if p == partition]
        assert offsets == list(range(len(offsets)))


def test_a_slow_store_is_no_silent_broker(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, now_s, read = own_settings(stack), 0.0, 0
    publish(settings, 0, 20)
    monkeypatch.setattr(kafka, "time", SimpleNamespace(monotonic=lambda: now_s))
    with opened(settings, EVENTS) as source:
        for partition in range(PARTITIONS):
            for _ in source.read(partition, 0):
                now_s += 2 * kafka.SILENT_S
                read += 1
    assert read == 20


def test_a_backfill_of_it_goes_on_where_the_topic_does(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    publish(settings, 0, 100)
    filled(settings, lake(tmp_path))
    (tmp_path / "items.jsonl").write_text('{"item_id": "i1", "title": "one"}\n')
    told = tmp_path / "told.json"
    done = verb("backfill", str(tmp_path), "--json", str(told), env=environment(settings))
    assert done.returncode == 0, done.stderr
    result = json.loads(told.read_text())
    assert (result["events"], result["items"], result["rejected"]) == (100, 1, 0)
    assert len(list(EventLog(tmp_path / "topic=events"))) == 100


def test_without_the_topic_it_is_one_sentence(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack).model_copy(update={"topic_prefix": "none-"})
    with pytest.raises(TopicsMissing, match="topic none-events is missing: `streamrank topics create`"):
        filled(settings, lake(tmp_path))
