"""A topic of the broker as the lake reads it: by offset, from nobody's group, and nothing is committed. Blocking."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import Misuse, Unreachable
from streams.kafka_admin import TIMEOUT_S, TopicsMissing, describe
from streams.lake.rows import Message
from streams.settings import Settings

SILENT_S = 30.0
"""How long a broker may say nothing: neither a record, nor that there is no more."""


class KafkaSource:
    """One topic, read through a consumer that `opened` closes."""

    def __init__(self, settings: Settings, name: str, topic_id: str, consumer: Any) -> None:
        self.topic_id = topic_id
        self.partitions = settings.partitions
        self._settings = settings
        self._name = name
        self._consumer = consumer

    def start(self, partition: int) -> int:
        """Return the first offset that is there, or would be; raise `Unreachable`."""
        try:
            low, _ = self._consumer.get_watermark_offsets(TopicPartition(self._name, partition), timeout=TIMEOUT_S)
        except (KafkaException, TypeError) as exc:  # None after a timeout
            raise self._away(exc.args[0].str() if isinstance(exc, KafkaException) else "timed out") from exc
        return int(low)

    def read(self, partition: int, first: int) -> Iterator[Message]:
        """Yield the records from `first` on; raise `Unreachable`.

        The end is where a fetch finds nothing more: Tansu says of its end only where its last batch began.
        """
        self._consumer.assign([TopicPartition(self._name, partition, first)])
        deadline, why = time.monotonic() + SILENT_S, "timed out"
        try:
            while time.monotonic() < deadline:
                message = self._consumer.poll(1.0)
                if message is None:
                    continue
                error = message.error()
                if error is None:
                    yield Message(message.offset(), message.key(), message.value(), message.timestamp()[1])
                    deadline = time.monotonic() + SILENT_S  # a slow store isn't a silent broker
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its only name)
                    return
                else:
                    why = error.str()
            raise self._away(why)
        finally:
            self._consumer.unassign()

    def _away(self, why: str) -> Unreachable:
        return Unreachable(f"Kafka at {self._settings.kafka_bootstrap} does not answer ({why}): start it")


@contextmanager
def opened(settings: Settings, topic: str) -> Iterator[KafkaSource]:
    """Yield a topic (named without prefix) for the length of the block.

    Raises:
        Unreachable: naming the address.
        TopicsMissing: it isn't there.
    """
    name = settings.topic(topic)
    state = describe(settings, [name])[name]
    if state is None:
        raise TopicsMissing(f"Kafka at {settings.kafka_bootstrap}: topic {name} is missing: `streamrank topics create`")
    config: dict[str, Any] = {
        **settings.kafka_client_config(),
        "client.id": "streamrank-lake",
        "group.id": settings.kafka_group + "-lake",  # needed, though no group is ever joined
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",  # retention passed us: what is left is read, what is lost is counted
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": settings.kafka_fetch_max_wait_ms,
        "log_level": 0,
    }
    try:
        consumer = Consumer(config)
    except KafkaException as exc:
        raise Misuse(f"kafka settings: {exc.args[0].str()}") from exc
    try:
        yield KafkaSource(settings, name, state.topic_id, consumer)
    finally:
        consumer.close()
