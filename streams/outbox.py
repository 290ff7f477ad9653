"""What a partition's batch publishes, in the order of the records that caused it, with deterministic ids."""

import hashlib

import msgspec

from streams.contracts import events as ev
from streams.contracts import topics
from streams.contracts.slates import Feedback, Forgotten, Slate, dead_letter, encode
from streams.decode import Record
from streams.errors import BadEvent
from streams.store.base import Message

MAX_KEY_BYTES = 1_024
"""A dead letter's message key is cut to this, or it could be too large to publish."""
_encode_event = msgspec.json.Encoder().encode


class Outbox:
    """Messages of one partition; `topic` is the broker's name of `events` and its topic id."""

    def __init__(self, partition: int, epoch: int, topic: tuple[str, str]) -> None:
        self._partition = partition
        self._epoch = epoch
        self._topic, self._topic_id = topic
        self._messages: list[tuple[int, Message]] = []

    def messages(self) -> list[Message]:
        """Return everything, ordered by the offsets of the causes."""
        return [message for _, message in sorted(self._messages, key=lambda pair: pair[0])]

    def slate(self, slate: Slate, reply_to: str | None) -> None:
        """Publish a slate, on `reply_to` if the request named one."""
        offset = int(slate.slate_id.rpartition("-")[2])
        topic = reply_to or topics.RECOMMENDATIONS
        partition = self._partition if topic == topics.RECOMMENDATIONS else None
        self._add(offset, topic, slate.user_id.encode(), encode(slate), partition)

    def feedback(self, offset: int, feedback: Feedback) -> None:
        """Publish what became of a slate that the record at `offset` closed."""
        self._add(offset, topics.FEEDBACK, feedback.user_id.encode(), encode(feedback), self._partition)

    def receipt(self, offset: int, user_id: str, at_ms: int) -> None:
        """Publish that a user was forgotten, naming only the id's hash."""
        digest = hashlib.sha256(user_id.encode()).hexdigest()
        receipt = Forgotten(feedback_id=self._id(offset), user_sha256=digest, at_ms=at_ms)
        self._add(offset, topics.FEEDBACK, digest.encode(), encode(receipt), None)

    def absorb(self, offset: int, alias: ev.Alias, state: bytes, at_ms: int) -> None:
        """Send an anonymous history to its login's partition; a repeat has the same event id and is dropped there."""
        event = ev.Absorb(
            user_id=alias.login,
            event_id=f"absorb-{self._id(offset)}",
            at_ms=at_ms,
            anonymous_id=alias.user_id,
            state=state,
        )
        self._add(offset, topics.EVENTS, alias.login.encode(), _encode_event(event), None)

    def dead_letter(self, record: Record, error: BadEvent) -> None:
        """Publish why a record was refused, and the record."""
        letter = dead_letter(
            error.reason,
            error.path,
            topic=self._topic,
            topic_id=self._topic_id,
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
        )
        key = None if record.key is None else record.key[:MAX_KEY_BYTES]
        self._add(record.offset, topics.DEAD_LETTERS, key, encode(letter), None)

    def _add(self, offset: int, topic: str, key: bytes | None, value: bytes, partition: int | None) -> None:
        self._messages.append((offset, Message(topic, key, value, partition)))

    def _id(self, offset: int) -> str:
        return f"{self._epoch}-{self._partition}-{offset}"
