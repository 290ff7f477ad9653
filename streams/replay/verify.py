"""Reads back what a replay published, and compares it with what Kafka acknowledged.

Each message carries a header: the id of this run and a running number. So the messages of other producers don't count,
and of its own each must be there once, in the order they were sent. A partition is read from where it ended before the
run up to its end as a fetch tells it (asked for its latest offset, the embedded broker answers with an earlier one).
"""

import logging
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import StreamrankError, Unreachable
from streams.kafka_admin import TIMEOUT_S
from streams.settings import Settings

HEADER = "streamrank-replay"
_VALUE = struct.Struct(">8sQ")
_RUN_ID_BYTES = 8
_TELL_EVERY = 5_000


class NotVerified(StreamrankError):
    """Kafka doesn't hold what it acknowledged: see to the broker (was data lost?), or publish again."""


class ReadBack:
    """What one replay sent to a topic, until it is compared."""

    def __init__(self, settings: Settings, topic: str) -> None:
        """Note where each partition of `topic` (name on the broker) ends.

        Raises:
            Unreachable: naming the address.
        """
        self._bootstrap = settings.kafka_bootstrap
        self._topic = topic
        self._run = os.urandom(_RUN_ID_BYTES)
        self._acknowledged: Counter[int] = Counter()
        self._held: Counter[int] = Counter()
        self._misplaced: Counter[int] = Counter()
        self._config = {
            **settings.kafka_client_config(),
            "client.id": "streamrank-replay",
            "group.id": "streamrank-replay",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
        with self._consumer() as consumer:
            self._starts = [self._end(consumer, TopicPartition(topic, p)) for p in range(settings.partitions)]

    def header(self, number: int) -> list[tuple[str, bytes]]:
        """Return the headers of the message of this number."""
        return [(HEADER, _VALUE.pack(self._run, number))]

    def acknowledged(self, partition: int) -> None:
        """Count a message that Kafka acknowledged."""
        self._acknowledged[partition] += 1

    def compare(self, on_held: Callable[[int], None] = lambda held: None) -> int:
        """Read back the messages of this run and return how many there are; `on_held` is told meanwhile.

        Raises:
            NotVerified: with the first partition in which they aren't those that were acknowledged.
            Unreachable: naming the address.
        """
        try:
            with self._consumer() as consumer:
                self._read(consumer, on_held)
        except (KafkaException, TimeoutError) as exc:
            raise self._unreachable() from exc
        for partition in sorted(self._acknowledged | self._held):
            self._check(partition)
        return self._held.total()

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        """Open a consumer for one task: an idle one crashes (librdkafka 2.16) if the topic is made anew meanwhile."""
        consumer = Consumer(self._config, logger=logging.getLogger("librdkafka"))
        try:
            yield consumer
        finally:
            consumer.close()

    def _check(self, partition: int) -> None:
        held, acknowledged = self._held[partition], self._acknowledged[partition]
        where = f"Kafka at {self._bootstrap}: partition {partition} of {self._topic}"
        if held != acknowledged:
            raise NotVerified(
                f"{where} acknowledged {acknowledged} messages of this replay and holds {held}: see the broker's log"
            )
        if self._misplaced[partition]:
            raise NotVerified(
                f"{where} holds messages of this replay out of order ({self._misplaced[partition]} of {held}): see the "
                "broker's log"
            )

    def _read(self, consumer: Consumer, on_held: Callable[[int], None]) -> None:
        consumer.assign(self._starts)
        last: dict[int, int] = {}
        ended: set[int] = set()
        while len(ended) < len(self._starts):
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise TimeoutError
            error = message.error()
            if error is None:
                self._take(message, last, on_held)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  the public name of librdkafka's code
                ended.add(message.partition())
            else:
                raise KafkaException(error)

    def _take(self, message: Any, last: dict[int, int], on_held: Callable[[int], None]) -> None:
        for name, value in message.headers() or ():
            if name == HEADER and value and value.startswith(self._run):
                partition, (_, number) = message.partition(), _VALUE.unpack(value)
                self._held[partition] += 1
                self._misplaced[partition] += number <= last.get(partition, -1)
                last[partition] = number
                if number % _TELL_EVERY == 0:
                    on_held(self._held.total())

    def _end(self, consumer: Consumer, place: TopicPartition) -> TopicPartition:
        try:
            ends = consumer.get_watermark_offsets(place, TIMEOUT_S)
        except KafkaException as exc:
            raise self._unreachable() from exc
        if ends is None:
            raise self._unreachable()
        return TopicPartition(place.topic, place.partition, ends[1])

    def _unreachable(self) -> Unreachable:
        return Unreachable(
            f"Kafka at {self._bootstrap} does not say what {self._topic} holds: start it, or see its log"
        )
