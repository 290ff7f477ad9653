"""What the tests of the replay share: topics of their own, a log to publish, and everything that a topic holds."""

import json
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from streams.contracts import topics
from streams.kafka_admin import create_topics
from streams.settings import Settings
from tests.support import wait_until

PARTITIONS = 8
START_MS = 1_483_271_606_000


def fresh_topics(kafka: str) -> Settings:
    settings = Settings(kafka_bootstrap=kafka, partitions=PARTITIONS, topic_prefix=f"replay-{uuid.uuid4().hex[:8]}.")
    create_topics(settings)
    return settings


def event(n: int, step_ms: int = 1_000) -> dict[str, Any]:
    user, at_ms = f"user-{n % 37}", START_MS + n * step_ms
    return {"type": "click", "event_id": str(n), "user_id": user, "at_ms": at_ms, "item_id": f"i{n}"}


def write(path: Path, values: list[Any]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def messages_of(settings: Settings, topic: str = topics.EVENTS) -> list[Message]:
    """Everything that is in the topic: each partition up to its end."""
    config = {"group.id": "reader", "enable.partition.eof": True, "fetch.wait.max.ms": 20}
    consumer = Consumer({**settings.kafka_client_config(), **config})
    consumer.assign([TopicPartition(settings.topic(topic), partition, 0) for partition in range(PARTITIONS)])
    messages: list[Message] = []
    ended: set[int] = set()

    def all_ended() -> bool:
        for message in consumer.consume(10_000, timeout=0.05):
            if message.error() is None:
                messages.append(message)
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()  # noqa: SLF001 (its only name)
                ended.add(message.partition())
        return len(ended) == PARTITIONS

    wait_until(all_ended, 20, "the end of every partition")
    consumer.close()
    return messages


def by_user(messages: list[Message]) -> dict[str, list[int]]:
    users: dict[str, list[int]] = defaultdict(list)
    for message in messages:
        users[message.key().decode()].append(int(json.loads(message.value())["event_id"]))
    return users


def environment(settings: Settings) -> dict[str, str]:
    return {
        "STREAMRANK_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "STREAMRANK_PARTITIONS": str(settings.partitions),
        "STREAMRANK_TOPIC_PREFIX": settings.topic_prefix,
    }


def lines_of(events: list[dict[str, Any]]) -> list[tuple[int, bytes]]:
    return [(number, json.dumps(value).encode()) for number, value in enumerate(events, 1)]
