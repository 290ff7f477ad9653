"""Publishing: what a commit left in its outbox goes to Kafka, and delivery is awaited.

A repeat is byte-identical, so sending all of an outbox again after any doubt is safe, and no idempotent producer is
needed (Tansu has none). A message that Kafka will never take (too large, a `reply_to` topic that isn't there) becomes
a dead letter, so it can't block its partition.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Sequence, Set
from typing import Any

import aiokafka
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from streams.agents.security import aiokafka_security
from streams.agents.vitals import check_producer
from streams.contracts.slates import dead_letter, encode
from streams.contracts.topics import DEAD_LETTERS, TOPICS
from streams.errors import Unreachable
from streams.settings import Settings
from streams.store.base import Message

REFUSALS = (
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
UNKNOWN_TOPIC_S = 2.0
"""How long to wait for the metadata of a topic that isn't Streamrank's own before it counts as not there."""
FORGET_S = 60.0
"""After this a topic that wasn't there is looked for again."""
DELIVERY_S = 10.0
"""After this a delivery counts as failed and is tried again; Kafka may be away for longer."""
BATCH_BYTES = 256 * 1024

log = logging.getLogger(__name__)


class Publisher:
    """Publishes messages with acks from all replicas; `start` before use, in the loop that uses it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = {settings.topic(topic.name) for topic in TOPICS}
        self._producer: Any = None
        self._missing: dict[str, float] = {}

    async def start(self) -> None:
        """Connect.

        Raises:
            Unreachable: naming the address.
        """
        self._producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            client_id="streamrank",
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=int(DELIVERY_S * 1000),
            **aiokafka_security(self._settings),
        )
        try:
            await self._producer.start()
        except (KafkaError, OSError, ssl.SSLError) as exc:
            await self._producer.stop()
            raise Unreachable(f"Kafka at {self._settings.kafka_bootstrap}: {exc}") from exc

    async def stop(self) -> None:
        """Close the connection; what was published before is delivered."""
        if self._producer is not None:
            await self._producer.stop()

    def check(self) -> None:
        """Look at what sends.

        Raises:
            TaskEnded: nothing would be sent any more.
        """
        check_producer(self._producer)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send all messages and wait until the brokers have them.

        Raises:
            Unreachable: some were not delivered: publish all of them again.
        """
        if not messages:
            return
        try:
            refused = await self._deliver(messages)
            if refused:
                letters = [self._refusal(message, why) for message, why in refused]
                await self._deliver(letters)
        except (KafkaError, TimeoutError) as exc:
            address = self._settings.kafka_bootstrap
            raise Unreachable(f"Kafka at {address} took no message: {type(exc).__name__}") from exc

    async def _deliver(self, messages: Sequence[Message]) -> list[tuple[Message, str]]:
        refused: list[tuple[Message, str]] = []
        sent: list[tuple[Message, asyncio.Future[Any]]] = []
        await self._find({self._settings.topic(message.topic) for message in messages} - self._own)
        for message in messages:
            topic = self._settings.topic(message.topic)
            try:
                if topic in self._missing:
                    raise InvalidTopicError(topic)
                future = await self._producer.send(topic, message.value, key=message.key, partition=message.partition)
            except REFUSALS as exc:
                refused.append((message, _why(topic, exc)))
            else:
                sent.append((message, future))
        if sent:
            await asyncio.wait([future for _, future in sent])
        for message, future in sent:
            fault = future.exception()
            if isinstance(fault, REFUSALS):
                refused.append((message, _why(self._settings.topic(message.topic), fault)))
            elif fault is not None:
                raise fault
        return refused

    async def _find(self, topics: Set[str]) -> None:
        """Note which of these topics aren't there; all are looked for at once, so many take no longer than one."""
        if not topics:
            return
        now_s = time.monotonic()
        self._missing = {topic: until_s for topic, until_s in self._missing.items() if until_s > now_s}
        looking = {
            asyncio.ensure_future(self._producer.partitions_for(topic)): topic
            for topic in topics - self._missing.keys()
        }
        if not looking:
            return
        try:
            found, late = await asyncio.wait(looking, timeout=UNKNOWN_TOPIC_S)
        finally:
            for search in looking:
                search.cancel()
        for search in found:
            search.exception()  # which sending will raise again
        self._missing |= {looking[search]: time.monotonic() + FORGET_S for search in late}

    def _refusal(self, message: Message, why: str) -> Message:
        topic = self._settings.topic(message.topic)
        log.error("message refused by Kafka", extra={"topic": topic, "reason": why})
        letter = dead_letter(
            why, "$.reply_to", topic=topic, topic_id="", partition=-1, offset=-1,
            key=message.key, value=message.value,
        )  # fmt: skip
        return Message(DEAD_LETTERS, message.key, encode(letter))


def _why(topic: str, exc: Exception) -> str:
    return f"Kafka does not take this message for the topic {topic}: {type(exc).__name__}"
