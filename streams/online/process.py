"""The learner's process: reads `feedback` from where its last version ends, learns, and publishes a version.

Order: learn -> snapshot, places and all else in one step into Redis -> tell `models`. Nothing is acked to Kafka: the
places that were stored are the only authority, so after a kill anywhere the same records are learned again from the
same state. While Redis is away nothing is read; while Kafka is away, what is to be told is kept.
"""

import asyncio
import contextlib
import logging
import signal
import time
import uuid
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streams.contracts.models import encode as encode_said
from streams.contracts.slates import decode_feedback
from streams.contracts.topics import FEEDBACK
from streams.errors import BadEvent, Misuse, Unreachable
from streams.health import health
from streams.kafka_admin import check_topics, topic_ids
from streams.online.learner import Learner
from streams.online.metrics import LearnerMetrics
from streams.online.saved import Saved
from streams.online.snapshot import decode, encode
from streams.online.versions import Versions
from streams.settings import Settings
from streams.store.connection import connect
from streams.tell import tell

READ = 200
"""At most so many messages at a time."""
WAIT_S = 0.05
PUBLISH_S = 0.5
"""How long what was learned waits for a version. Shorter: sooner in slates, and more bytes to every worker."""
TELL_S = 60.0
"""How often `models` is told of versions; of drift it is told at once."""
RETRY_S = 1.0

log = logging.getLogger(__name__)


def run(settings: Settings, anew: bool) -> None:
    """Learn until SIGTERM or SIGINT; `anew` forgets what was learned and begins at the log's start.

    Raises:
        StreamrankError: a server is away at the start; what was learned is of another contract; another learner runs.
    """
    asyncio.run(_run(settings, anew))


async def _run(settings: Settings, anew: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    name = settings.topic(FEEDBACK)
    topic_id = (await asyncio.to_thread(check_topics, settings))[name].topic_id
    redis = connect(settings)
    try:
        versions = Versions(redis, settings.key_prefix, settings.triton_model)
        learner = await _learner(versions, settings.triton_model, anew)
        learner.read_from(topic_id)
        process = LearnerProcess(settings, versions, learner)
        try:
            with health(settings.metrics_port, process.metrics, process.lags):
                log.info("learner ready", extra={"model": learner.model, "version": learner.version, **learner.counts})
                await process.work(stop)
        finally:
            process.close()
    finally:
        await redis.close()


async def _learner(versions: Versions, model: str, anew: bool) -> Learner:
    raw = None if anew else await versions.saved()
    learner = Learner(model, None if raw is None else decode(Saved, raw))
    learner.version = await versions.latest() or 0
    return learner


class LearnerProcess:
    """The loop around one learner."""

    def __init__(self, settings: Settings, versions: Versions, learner: Learner) -> None:
        self._settings = settings
        self._topic = settings.topic(FEEDBACK)
        self._versions = versions
        self._learner = learner
        self.metrics = LearnerMetrics(learner)
        self._writer = uuid.uuid4().hex
        self._published_s = self._told_s = time.monotonic()
        self._dirty = self._in_doubt = False
        self._consumer = _consumer(settings, self._doubt)
        self._assign()

    async def work(self, stop: asyncio.Event) -> None:
        """Learn until `stop`, then publish what is left."""
        while not stop.is_set():
            messages = self._good(await asyncio.to_thread(self._consumer.consume, READ, WAIT_S))
            if self._in_doubt and await asyncio.to_thread(self._moved):
                self._assign()  # what was just read is read again
                await asyncio.sleep(RETRY_S)
                continue
            for message in messages:
                self._learn(message)
            if self._dirty and time.monotonic() - self._published_s >= PUBLISH_S:
                await self._publish(stop)
        if self._dirty:
            with contextlib.suppress(Unreachable):
                await self._store()

    def close(self) -> None:
        """Leave Kafka."""
        self._consumer.close()

    def lags(self) -> dict[int, int]:
        """Return how many messages of each partition wait, as far as is known."""
        found = {}
        for partition in range(self._settings.partitions):
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
            found[partition] = max(0, high - max(low, self._learner.next_offset(partition)))
        return found

    def _good(self, messages: Sequence[Message]) -> list[Message]:
        """Leave out what is no message but an error, and says that something is wrong with the topic."""
        for error in (message.error() for message in messages if message.error() is not None):
            log.warning("Kafka", extra={"reason": error.str()})
            self._in_doubt = True
        return [message for message in messages if message.error() is None]

    def _learn(self, message: Message) -> None:
        at = {"partition": message.partition(), "offset": message.offset()}
        try:
            self._learner.learn(decode_feedback(message.value() or b""), **at)
        except BadEvent as exc:
            log.warning("no feedback", extra={**at, "reason": str(exc)})
            self._learner.refuse(**at)
        except Exception:  # poison: one record must not stop the learner
            log.exception("record could not be learned", extra=at)
            self._learner.refuse(**at)
        self.metrics.progress += 1
        self._dirty = True

    async def _publish(self, stop: asyncio.Event) -> None:
        """Store a version, however long Redis is away, and tell of it."""
        while not stop.is_set():
            try:
                await self._store()
                break
            except Unreachable as exc:
                if not self.metrics.is_waiting:
                    log.error("waiting, nothing is lost", extra={"reason": str(exc)})
                self.metrics.is_waiting = True
                await asyncio.sleep(RETRY_S)
        self.metrics.is_waiting = False
        if self._learner.found or time.monotonic() - self._told_s >= TELL_S:
            await asyncio.to_thread(self._tell)

    async def _store(self) -> None:
        snapshot, saved = self._learner.snapshot(), self._learner.saved()
        await self._versions.publish(saved.version, self._writer, encode(snapshot), encode(saved))
        self._learner.version = saved.version
        self._dirty, self._published_s = False, time.monotonic()

    def _tell(self) -> None:
        model, found, published = self._learner.model, self._learner.found, self._learner.published()
        messages = [(f"{model}/drift", encode_said(one)) for one in found]
        messages.append((f"{model}/online", encode_said(published)))
        self._told_s = time.monotonic()
        try:
            tell(messages, self._settings)
        except Unreachable as exc:
            log.warning("will be told later", extra={"reason": str(exc)})
        else:
            self._learner.found = []
        for one in found:
            log.warning("drift", extra={"signal": one.signal, "detector": one.detector, **one.evidence})
        log.info("published", extra={"version": published.version, **published.metrics})

    def _doubt(self, _: object) -> None:
        """The connection was lost: the topic may be another one when it is back."""
        self._in_doubt = True

    def _moved(self) -> bool:
        """Tell whether what was just read can't be trusted: the topic was made anew, or nobody says that it wasn't."""
        try:
            found = topic_ids(self._settings, [self._topic])[self._topic]
        except Unreachable as exc:
            log.warning("Kafka is away", extra={"reason": str(exc)})
            return True
        self._in_doubt = found == ""
        if found in ("", self._learner.topic_id):
            return self._in_doubt
        log.warning("the topic was made anew, learning goes on from its start", extra={"topic": self._topic})
        self._learner.read_from(found)
        return True

    def _assign(self) -> None:
        partitions = range(self._settings.partitions)
        self._consumer.assign([TopicPartition(self._topic, p, self._learner.next_offset(p)) for p in partitions])


def _consumer(settings: Settings, on_error: Any) -> Consumer:
    config = {
        **settings.kafka_client_config(),
        "client.id": "streamrank-learner",
        "group.id": settings.kafka_group + "-learner",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": settings.kafka_fetch_max_wait_ms,
        "error_cb": on_error,
        "log_level": 0,
    }
    try:
        return Consumer(config)
    except KafkaException as exc:
        raise Misuse(f"kafka settings: {exc.args[0].str()}") from exc
