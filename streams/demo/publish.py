"""The demo's producer: idempotent, partitioned by murmur2, small linger; it counts what Kafka acknowledged."""

import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import Producer

from streams.contracts.topics import EVENTS
from streams.demo.faults import ANY_PARTITION
from streams.errors import StreamrankError
from streams.settings import Settings

LINGER_MS = 1
"""How long the lines of a basket wait for each other; more slows requests, less makes more and smaller batches."""
DELIVERY_TIMEOUT_S = 30.0


class NotDelivered(StreamrankError):
    """The broker did not take a message: see its log in the run folder."""


class Publisher:
    """Sends to `events`. `poll` must be called often: it takes in acknowledgements."""

    def __init__(self, settings: Settings) -> None:
        self.acknowledged = 0
        self._topic = settings.topic(EVENTS)
        self._failed: str | None = None
        self._producer: Any = Producer(
            {
                **settings.kafka_client_config(),
                "client.id": "streamrank-demo",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": LINGER_MS,
                "delivery.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000),
            },
            logger=logging.getLogger("librdkafka"),
        )

    def send(
        self,
        key: bytes | None,
        value: bytes | None,
        partition: int = ANY_PARTITION,
        on_place: Callable[[int, int], None] = lambda partition, offset: None,
    ) -> None:
        """Queue a message; `on_place` is told its partition and offset once Kafka has it."""

        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                self._failed = error.str()
                return
            self.acknowledged += 1
            on_place(message.partition(), message.offset())

        self._producer.produce(self._topic, value, key, partition, on_delivery=delivered)

    def poll(self, timeout_s: float = 0.0) -> None:
        """Take in acknowledgements for up to that long.

        Raises:
            NotDelivered: Kafka did not take a message.
        """
        self._producer.poll(timeout_s)
        self._raise_if_failed()

    def flush(self) -> None:
        """Wait until everything is acknowledged.

        Raises:
            NotDelivered: Kafka did not take a message.
        """
        while self._producer.flush(0.1):
            self._raise_if_failed()
        self._raise_if_failed()

    def _raise_if_failed(self) -> None:
        if self._failed is not None:
            raise NotDelivered(f"Kafka did not take a message for {self._topic}: {self._failed}")
