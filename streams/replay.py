"""Publishes a log to Kafka: its events to `events`, keyed by `user_id`, or a catalogue to `items`, keyed by `item_id`.

Lines go out as they are, in the log's order. The producer is idempotent and partitions by murmur2, so the order of one
user is kept, also when it retries. Kafka's timestamps are those of the replay: with the log's own, retention would
delete the old ones at once.

Delivery is at-least-once: `resume_line` is the first line that Kafka has not acknowledged, and starting again there
repeats the acknowledged ones behind it, which their `event_id` makes harmless.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from confluent_kafka import KafkaException, Producer

from streams.contracts import topics
from streams.contracts.wire import AtMs, Id, decode
from streams.errors import BadEvent, Misuse, StreamrankError
from streams.kafka_admin import TopicsMissing, describe, problems
from streams.settings import Settings

QUEUE_MESSAGES = 100_000
QUEUE_KBYTES = 64 * 1024
"""Bounds of what waits in the process for the broker."""
DELIVERY_TIMEOUT_S = 60.0
"""How long Kafka may be away before the replay gives up."""
FLUSH_ON_INTERRUPT_S = 5.0
"""How long an interrupted replay waits for acknowledgements, so that less is repeated."""
_LINGER_FULL_MS, _LINGER_PACED_MS = 100, 20
"""Full speed lingers for large batches: the embedded broker slows as a partition collects small ones."""
_POLL_EVERY = 500
_POLL_S = 0.1
"""A call into the producer blocks Ctrl-C no longer than this."""
_MAX_REQUEST_BYTES = 1 << 20


class DeliveryFailed(StreamrankError):
    """Kafka did not take a line: see to the broker, then continue from the line that the sentence names."""


class EventKey(msgspec.Struct, frozen=True):
    """What a replay must know of an event: the worker judges the rest."""

    user_id: Id
    at_ms: AtMs | None = None

    @property
    def key(self) -> str:
        """The message key."""
        return self.user_id


class ItemKey(msgspec.Struct, frozen=True):
    """What must be known of an item."""

    item_id: Id
    at_ms: None = None

    @property
    def key(self) -> str:
        """The message key."""
        return self.item_id


Key = EventKey | ItemKey
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    topics.EVENTS: msgspec.json.Decoder(EventKey),
    topics.ITEMS: msgspec.json.Decoder(ItemKey),
}


@dataclass(slots=True)
class Counts:
    """How far a replay is, in lines."""

    read: int = 0
    published: int = 0
    """Acknowledged by Kafka."""
    rejected: int = 0


class Replay:
    """One log on its way to one topic, `events` or `items`."""

    def __init__(
        self,
        settings: Settings,
        topic: str = topics.EVENTS,
        *,
        speed: float | None = None,
        from_line: int = 1,
        on_reject: Callable[[int, BadEvent], None] = lambda line, error: None,
        on_progress: Callable[[Counts], None] = lambda counts: None,
    ) -> None:
        """`speed` is a multiple of the log's own tempo by `at_ms`, None as fast as Kafka takes it.

        Raises:
            Unreachable: naming the address.
            TopicsMissing: the topic is missing or has another partition count than the settings.
        """
        self.counts = Counts()
        self._topic = settings.topic(topic)
        self._decoder = _DECODERS[topic]
        self._from_line = self._next_line = from_line
        self._pending: dict[int, None] = {}
        self._failed: str | None = None
        self._on_reject = on_reject
        self._on_progress = on_progress
        self._speed = speed
        self._began: tuple[float, int] | None = None
        _check_topic(settings, self._topic)
        self._producer = _producer(settings, _LINGER_FULL_MS if speed is None else _LINGER_PACED_MS)

    @property
    def resume_line(self) -> int:
        """The first line that Kafka has not acknowledged (what was rejected needs no acknowledgement)."""
        return next(iter(self._pending), self._next_line)

    def run(self, lines: Iterable[tuple[int, bytes]]) -> Counts:
        """Publish the lines and await their acknowledgements.

        Raises:
            DeliveryFailed: with the line to resume from.
            KeyboardInterrupt: after a short wait for acknowledgements; `resume_line` says where to go on.
        """
        try:
            for number, line in lines:
                if number >= self._from_line:
                    self._line(number, line)
            while self._producer.flush(_POLL_S):
                self._raise_if_failed()
            self._raise_if_failed()
        except KeyboardInterrupt:
            self._producer.flush(FLUSH_ON_INTERRUPT_S)
            raise
        finally:
            # After a failure nothing more may go out: it would arrive before the lines that are to be repeated.
            self._producer.purge()
            self._on_progress(self.counts)
        return self.counts

    def _line(self, number: int, line: bytes) -> None:
        self.counts.read += 1
        try:
            head: Key = decode(self._decoder, line)
        except BadEvent as exc:
            self.counts.rejected += 1
            self._on_reject(number, exc)
        else:
            self._keep_pace(head.at_ms)
            self._publish(number, head.key.encode(), line)
        self._next_line = number + 1
        if self.counts.read % _POLL_EVERY == 0:
            self.poll()

    def _publish(self, number: int, key: bytes, value: bytes) -> None:
        acknowledged = partial(self._acknowledged, number)
        self._pending[number] = None
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=acknowledged)
            except BufferError:
                self.poll(_POLL_S)
            except KafkaException as exc:
                raise DeliveryFailed(self._sentence(number, exc.args[0].str())) from exc
            else:
                return

    def _acknowledged(self, number: int, error: Any, _message: Any) -> None:
        if error is None:
            del self._pending[number]
            self.counts.published += 1
        elif self._failed is None:
            self._failed = self._sentence(number, error.str())

    def _keep_pace(self, at_ms: int | None) -> None:
        """Wait until this event is due; one without a time, or late in the log, is due at once."""
        if self._speed is None or at_ms is None:
            return
        if self._began is None:
            self._began = (time.monotonic(), at_ms)
        began_s, began_ms = self._began
        due_s = began_s + (at_ms - began_ms) / 1e3 / self._speed
        while (left_s := due_s - time.monotonic()) > 0:
            self.poll(min(left_s, _POLL_S))

    def poll(self, timeout_s: float = 0.0) -> None:
        """Take in acknowledgements for up to that long; a source of lines that pauses must call it.

        Raises:
            DeliveryFailed: Kafka did not take a line.
        """
        self._producer.poll(timeout_s)
        self._on_progress(self.counts)
        self._raise_if_failed()

    def _raise_if_failed(self) -> None:
        if self._failed is not None:
            raise DeliveryFailed(self._failed)

    def _sentence(self, number: int, why: str) -> str:
        return f"line {number}: Kafka did not take it for {self._topic} ({why}): resume with --from {self.resume_line}"


def _check_topic(settings: Settings, name: str) -> None:
    wrong = problems(settings, describe(settings, [name]))
    if wrong:
        raise TopicsMissing(f"Kafka at {settings.kafka_bootstrap}: {wrong[0]}")


def _producer(settings: Settings, linger_ms: int) -> Producer:
    config: dict[str, Any] = {
        **settings.kafka_client_config(),
        "client.id": "streamrank-replay",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "linger.ms": linger_ms,
        "message.max.bytes": _MAX_REQUEST_BYTES,
        "delivery.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000),
        "queue.buffering.max.messages": QUEUE_MESSAGES,
        "queue.buffering.max.kbytes": QUEUE_KBYTES,
    }
    try:
        return Producer(config, logger=logging.getLogger("librdkafka"))
    except KafkaException as exc:
        raise Misuse(f"kafka settings: {exc.args[0].str()}") from exc
