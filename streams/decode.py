"""From records to events with a time, or to the reason why not. Checks what the wire types can't see.

A message's key must be its `user_id`, and lie in the partition that murmur2 says: otherwise one user's events would be
spread over partitions and their order lost.
"""

from typing import NamedTuple

import msgspec

from streams.contracts import events as ev
from streams.contracts import topics
from streams.contracts.partition import partition_of
from streams.contracts.wire import MAX_AT_MS, MIN_AT_MS
from streams.errors import BadEvent
from streams.features.user import check_state

_RESERVED = {topic.name for topic in topics.TOPICS} - {topics.RECOMMENDATIONS}


class Record(NamedTuple):
    """One record of the `events` topic as Kafka stored it; `timestamp_ms` is Kafka's."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


class Decoded(NamedTuple):
    """A record with its event and the time that counts for it."""

    record: Record
    event: ev.Event
    at_ms: int


class Decoder:
    """Decodes records of topics with `partitions` partitions; `max_future_ms` bounds `at_ms` by Kafka's time."""

    def __init__(self, partitions: int, max_future_ms: int) -> None:
        self._partitions = partitions
        self._max_future_ms = max_future_ms

    def decode(self, record: Record, *, trusted_key: bytes | None) -> Decoded:
        """Decode a record; a key equal to `trusted_key` is known to lie in the right partition, whoever's it is.

        Raises:
            BadEvent: with reason and path.
        """
        if record.value is None:
            raise BadEvent("null value: an event can't be deleted, send a `forget`")
        event = ev.decode_event(record.value)
        if isinstance(event, ev.Tick):
            self._check_tick(record, event)
        else:
            self._check_key(record, event.user_id, trusted_key)
        at_ms = event.at_ms if event.at_ms is not None else record.timestamp_ms
        if not MIN_AT_MS <= at_ms <= MAX_AT_MS:
            raise BadEvent(f"missing, and Kafka's timestamp {at_ms} is no time in milliseconds", "$.at_ms")
        if at_ms > record.timestamp_ms + self._max_future_ms:
            late_by = (at_ms - record.timestamp_ms) / 3_600_000
            raise BadEvent(f"lies {late_by:.0f} hours after Kafka's timestamp", "$.at_ms")
        if isinstance(event, ev.Absorb):
            _check_absorb(event)
        elif isinstance(event, ev.Request) and event.reply_to in _RESERVED:
            raise BadEvent(f"`{event.reply_to}` is a topic of Streamrank's own", "$.reply_to")
        return Decoded(record, event, at_ms)

    def _check_tick(self, record: Record, event: ev.Tick) -> None:
        if record.key is not None or event.partition != record.partition:
            raise BadEvent("a tick has no key and lies in its own partition", "$.partition")

    def _check_key(self, record: Record, user_id: str, trusted_key: bytes | None) -> None:
        key = record.key
        if key is None:
            raise BadEvent("null key: the message key must be the user_id", "key")
        if key != user_id.encode():
            raise BadEvent("the message key must be the user_id", "key")
        if key == trusted_key:
            return
        wanted = partition_of(key, self._partitions)
        if wanted != record.partition:
            raise BadEvent(
                f"lies in partition {record.partition}, not {wanted}: set the producer's `partitioner` to "
                "`murmur2_random` (librdkafka) or leave the Java default",
                "key",
            )


def _check_absorb(event: ev.Absorb) -> None:
    try:
        check_state(event.state)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise BadEvent(f"not a packed user state: {exc}", "$.state") from exc
