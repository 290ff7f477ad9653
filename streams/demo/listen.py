"""Receives what Streamrank publishes, in a thread of its own: slates and dead letters, each with when it came.

Reads all partitions from their start without a group's coordination; a repeat (delivery is at-least-once) is the same
slate or letter again, and the first one counts.
"""

import logging
import threading
import time
import uuid
from collections import deque
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from streams.contracts.slates import DeadLetter, Slate
from streams.contracts.topics import DEAD_LETTERS, RECOMMENDATIONS
from streams.errors import StreamrankError
from streams.settings import Settings

POLL_S = 0.1
FETCH_WAIT_MS = 2
"""The embedded broker holds a fetch for half of this even when data comes; more would be seen as latency."""


class Deaf(StreamrankError):
    """The demo can't read what Streamrank publishes: see the broker's log in the run folder."""


class Received(NamedTuple):
    """A slate, and when it was here (`time.perf_counter`, s)."""

    slate: Slate
    at_s: float


class Listener:
    """A context manager; `slates` is filled while it is open, and `letters` by the place of what was refused."""

    def __init__(self, settings: Settings) -> None:
        self.slates: deque[Received] = deque()
        self.letters: dict[tuple[int, int], DeadLetter] = {}
        self._letters_topic = settings.topic(DEAD_LETTERS)
        self._decode_slate = msgspec.json.Decoder(Slate).decode
        self._decode_letter = msgspec.json.Decoder(DeadLetter).decode
        self._consumer = Consumer(
            {
                **settings.kafka_client_config(),
                "client.id": "streamrank-demo",
                "group.id": f"streamrank-demo-{uuid.uuid4().hex[:8]}",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": FETCH_WAIT_MS,
            },
            logger=logging.getLogger("librdkafka"),
        )
        names = (self._letters_topic, settings.topic(RECOMMENDATIONS))
        places = [TopicPartition(name, p, OFFSET_BEGINNING) for name in names for p in range(settings.partitions)]
        self._consumer.assign(places)
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)

    def __enter__(self) -> "Listener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def raise_if_failed(self) -> None:
        """Say so if the thread ended.

        Raises:
            Deaf: with the cause.
        """
        if self._failure is not None:
            raise Deaf(f"cannot read what Streamrank publishes: {self._failure}") from self._failure

    def _listen(self) -> None:
        try:
            while not self._stop.is_set():
                message = self._consumer.poll(POLL_S)
                if message is not None:
                    self._take(message, time.perf_counter())
        except (KafkaException, msgspec.MsgspecError) as exc:
            self._failure = exc

    def _take(self, message: Any, at_s: float) -> None:
        if message.error() is not None:
            if message.error().fatal():
                raise KafkaException(message.error())
        elif message.topic() == self._letters_topic:
            letter = self._decode_letter(message.value())
            self.letters.setdefault((letter.partition, letter.offset), letter)
        else:
            self.slates.append(Received(self._decode_slate(message.value()), at_s))
