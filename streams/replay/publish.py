"""Sends lines to Kafka at a tempo, in the log's order, and knows which of them Kafka has.

The producer is idempotent and partitions by murmur2, so the order of one user is kept, also when it retries; while its
bounded queue is full nothing more is read. Kafka's timestamps are those of the replay: with the log's own, retention
would delete the old ones at once.

Delivery is at-least-once: `resume_line` is the first line that Kafka has not acknowledged, and starting again there
repeats the acknowledged ones behind it, which their `event_id` makes harmless.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from confluent_kafka import KafkaException

from streams.contracts import topics
from streams.contracts.wire import decode
from streams.errors import BadEvent, Misuse, StreamrankError
from streams.replay.lines import HEADS, Head
from streams.replay.plan import Plan
from streams.replay.producer import open_producer
from streams.replay.times import Timeline
from streams.replay.verify import ReadBack
from streams.settings import Settings

FLUSH_ON_INTERRUPT_S = 5.0
"""How long an interrupted replay waits for acknowledgements, so that less is repeated."""
_POLL_EVERY = 500
_POLL_S = 0.1
"""No call into the producer takes longer than this."""


class DeliveryFailed(StreamrankError):
    """Kafka did not take a line: see to the broker, then continue from the line that the sentence names."""


@dataclass(slots=True)
class Counts:
    """How far a replay is, in lines."""

    read: int = 0
    published: int = 0
    """Acknowledged by Kafka."""
    filtered: int = 0
    """Left out because they weren't wanted."""
    rejected: int = 0
    rounds: int = 0
    """How often the log was read to its end."""


class Replay:
    """One log on its way to one topic, `events` or `items`."""

    def __init__(
        self,
        settings: Settings,
        topic: str = topics.EVENTS,
        plan: Plan | None = None,
        timeline: Timeline | None = None,
        *,
        on_reject: Callable[[int, BadEvent], None] = lambda line, error: None,
        on_progress: Callable[[Counts], None] = lambda counts: None,
    ) -> None:
        """`timeline` is the plan's for this log; left out, times stay as they are.

        `on_progress` is told between two lines, at least every 500 lines and ten times a second; it may raise
        `KeyboardInterrupt`. A signal handler may not: in a delivery callback it would be lost.

        Raises:
            Unreachable: naming the address.
            TopicsMissing: the topic is missing or has another partition count than the settings.
        """
        self.counts = Counts()
        self._topic = settings.topic(topic)
        self._of_items = topic == topics.ITEMS
        self._decoder = HEADS[topic]
        self._plan = plan or Plan()
        self._takes = self._plan.selection.takes
        self._next_line = self._plan.from_line
        self._timeline = timeline or Timeline()
        self._sent = 0
        self._pending: dict[int, int] = {}
        """The line of each message that is not acknowledged, by the message's number, oldest first."""
        self._failed: str | None = None
        self._on_reject = on_reject
        self._on_progress = on_progress
        self._began: tuple[float, int] | None = None
        self._producer = open_producer(settings, self._topic, paced=self._plan.speed is not None)
        self._read_back = ReadBack(settings, self._topic) if self._plan.verify else None

    @property
    def resume_line(self) -> int:
        """The first line of this round that Kafka has not acknowledged (what is left out needs no acknowledgement)."""
        return next(iter(self._pending.values()), self._next_line)

    @property
    def remedy(self) -> str:
        """How to go on after an interruption."""
        if self._plan.rounds != 1:
            return f"this was round {self.counts.rounds + 1} of a loop, which begins anew when it is started again"
        return f"resume with {'--items ' if self._of_items else ''}--from {self.resume_line}"

    def run(self, lines: Iterable[tuple[int, bytes]]) -> Counts:
        """Publish the lines, in each round those that iterating gives anew, and await their acknowledgements.

        Raises:
            DeliveryFailed: with the line to resume from.
            KeyboardInterrupt: `on_progress` did; after a short wait for acknowledgements. `remedy` says how to go on.
        """
        rounds = self._plan.rounds
        try:
            for _ in count() if rounds is None else range(rounds):
                for number, line in lines:
                    if number >= self._plan.from_line:
                        self._line(number, line)
                    if number % _POLL_EVERY == 0:
                        self.poll()
                self.counts.rounds += 1
            while self._producer.flush(_POLL_S):
                self.poll()
            self.poll()
        except KeyboardInterrupt:
            self._producer.flush(FLUSH_ON_INTERRUPT_S)
            raise
        finally:
            # After a failure nothing more may go out: it would arrive before the lines that are to be repeated.
            self._producer.purge()
        return self.counts

    def verify(self, on_held: Callable[[int], None] = lambda held: None) -> int:
        """Read back what a finished run published; return how many messages Kafka holds; `on_held` is told meanwhile.

        Raises:
            NotVerified: it isn't what Kafka acknowledged.
            Unreachable: naming the address.
            Misuse: the replay was made without `verify`.
        """
        if self._read_back is None:
            raise Misuse("verify: this replay was made without it, so its messages can't be told from others")
        return self._read_back.compare(on_held)

    def _line(self, number: int, line: bytes) -> None:
        self.counts.read += 1
        try:
            head: Head = decode(self._decoder, line)
            if self._takes(head):
                self._keep_pace(head.at_ms)
                self._publish(number, head.key.encode(), self._timeline.line(line, head, self.counts.rounds))
            else:
                self.counts.filtered += 1
        except BadEvent as exc:
            self.counts.rejected += 1
            self._on_reject(number, exc)
        self._next_line = number + 1

    def _publish(self, number: int, key: bytes, value: bytes) -> None:
        sent, self._sent = self._sent, self._sent + 1
        acknowledged = partial(self._acknowledged, sent)
        headers = self._read_back.header(sent) if self._read_back else None
        self._pending[sent] = number
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=acknowledged, headers=headers)
            except BufferError:
                self.poll(_POLL_S)
            except KafkaException as exc:
                raise DeliveryFailed(self._sentence(number, exc.args[0].str())) from exc
            else:
                return

    def _acknowledged(self, sent: int, error: Any, message: Any) -> None:
        if error is None:
            del self._pending[sent]
            self.counts.published += 1
            if self._read_back:
                self._read_back.acknowledged(message.partition())
        elif self._failed is None:
            self._failed = self._sentence(self._pending[sent], error.str())

    def _keep_pace(self, at_ms: int | None) -> None:
        """Wait until this event is due; one without a time, or late in the log, is due at once."""
        speed = self._plan.speed
        if speed is None or at_ms is None:
            return
        log_ms = self._timeline.log_ms(at_ms, self.counts.rounds)
        if self._began is None:
            self._began = (time.monotonic(), log_ms)
            self._timeline.begin(log_ms, time.time_ns() // 1_000_000)
        began_s, began_ms = self._began
        due_s = began_s + (log_ms - began_ms) / 1e3 / speed
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
        return f"line {number}: Kafka did not take it for {self._topic} ({why}): {self.remedy}"
