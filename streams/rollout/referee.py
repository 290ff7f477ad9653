"""Follows `feedback` while there is a canary, and ends its trial: promotes it, or rolls it back.

One process of a deployment does this: `streamrank models watch`, or a trainer that publishes canaries. It reads from
where its last document says, and a new trial from the end of the topic: of what is served from now on, all feedback
comes later. More than one do no harm: the first to move the pointer ends the trial, the others find it ended.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.contracts.slates import Feedback, decode_feedback
from streams.contracts.topics import FEEDBACK
from streams.errors import BadEvent, Misuse, StreamrankError, Unreachable
from streams.rollout.announce import announce
from streams.rollout.comparison import Rules, Verdict
from streams.rollout.desk import Desk
from streams.rollout.lineup import Lineup
from streams.rollout.pointer import Pointer
from streams.rollout.trial import Arms, Trial
from streams.settings import Settings

LOOK_S = 1.0
"""How long records are gathered for one look at the test, and the pause while there is nothing to look at."""
RECORDS = 2_000
"""At most so many in one look."""
TIMEOUT_S = 10.0

log = logging.getLogger(__name__)


class Referee:
    """Ends the trials of one model's canaries."""

    def __init__(self, settings: Settings, pointer: Pointer, desk_of: Callable[[str], Desk]) -> None:
        """`desk_of` makes the desk that acts, given why."""
        self._settings = settings
        self._pointer = pointer
        self._desk_of = desk_of
        self._rules = rules_of(settings)
        self._trial: Trial | None = None
        self._revision = 0
        self._reader = Reader(settings)

    async def run(self, ended: Callable[[], bool]) -> None:
        """Watch until `ended`, which is asked every LOOK_S; servers that are away are waited for."""
        away = told = False
        try:
            while not ended():
                try:
                    if not told:  # what one that ended in the middle had done
                        await announce(self._pointer, self._settings)
                        told = True
                    if await self.look() is None:
                        await asyncio.sleep(LOOK_S)
                    away = False
                except StreamrankError as exc:
                    if not away:
                        log.error("the canary is not judged now", extra={"reason": str(exc)})
                    away, self._trial = True, None
                    await asyncio.sleep(LOOK_S)
        finally:
            await asyncio.to_thread(self._reader.close)

    async def look(self) -> Verdict | None:
        """Count what came, and act on what it says; None if there is no canary.

        Raises:
            Unreachable: Redis or Kafka is away.
            PointerMoved: somebody else changed the lineup: look again.
        """
        lineup = await self._pointer.read()
        if lineup is None or lineup.canary is None:
            self._trial = None
            return None
        if self._trial is None or self._revision != lineup.revision:
            self._trial = await self._follow(lineup, lineup.canary)
            self._revision = lineup.revision
        trial = self._trial
        for message in await asyncio.to_thread(self._reader.read):
            trial.take(message.partition(), message.offset(), _feedback(message.value()))
        await self._pointer.keep_trial(trial.pack())
        verdict = trial.verdict(self._rules)
        if verdict.answer != "running":
            desk = self._desk_of(verdict.why)
            await desk.conclude(trial.arms.canary, promote=verdict.answer == "promote", evidence=verdict.metrics())
            log.info(
                "canary judged", extra={"version": trial.arms.canary, "answer": verdict.answer, "why": verdict.why}
            )
        return verdict

    async def _follow(self, lineup: Lineup, canary: int) -> Trial:
        """Return the trial that the lineup asks for: this one, the one that was kept, or a new one."""
        began = [e.revision for e in await self._pointer.history() if (e.version, e.after) == (canary, "canary")]
        arms = Arms(lineup.model, lineup.champion, canary, lineup.canary_share, max(began, default=0))
        if self._trial is not None and self._trial.arms == arms:
            return self._trial
        packed = await self._pointer.trial()
        kept = None if packed is None else Trial.unpack(packed)
        if kept is None or kept.arms != arms:
            kept = Trial(arms, await asyncio.to_thread(self._reader.ends))
        await asyncio.to_thread(self._reader.seek, kept.offsets)
        return kept


class Reader:
    """The topic `feedback`, all partitions, from given offsets; blocking, in nobody's group."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.kafka_bootstrap
        self._topic = settings.topic(FEEDBACK)
        self._partitions = range(settings.partitions)
        config: dict[str, Any] = {
            **settings.kafka_client_config(),
            "client.id": "streamrank-referee",
            "group.id": settings.kafka_group + "-referee",  # needed, though no group is ever joined
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": settings.kafka_fetch_max_wait_ms,
            "log_level": 0,
        }
        try:
            self._consumer = Consumer(config)
        except KafkaException as exc:
            raise Misuse(f"kafka settings: {exc.args[0].str()}") from exc

    def ends(self) -> dict[int, int]:
        """Return the end of each partition; Tansu says the beginning of its last batch.

        Raises:
            Unreachable: Kafka is away.
        """
        return {p: self._end(p) for p in self._partitions}

    def _end(self, partition: int) -> int:
        try:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=TIMEOUT_S)
        except (KafkaException, TypeError) as exc:  # None after a timeout
            raise Unreachable(f"Kafka at {self._address} does not answer: start it") from exc
        return int(high)

    def seek(self, offsets: dict[int, int]) -> None:
        """Read from these offsets on."""
        self._consumer.assign([TopicPartition(self._topic, p, offset) for p, offset in offsets.items()])

    def read(self) -> list[Any]:
        """Return what came within LOOK_S; errors are waited out by librdkafka itself."""
        return [one for one in self._consumer.consume(RECORDS, LOOK_S) if one.error() is None]

    def close(self) -> None:
        """Release the connection."""
        self._consumer.close()


def rules_of(settings: Settings) -> Rules:
    """Return the rules that the settings name."""
    return Rules(
        alpha=settings.canary_alpha,
        click_margin=settings.canary_click_margin,
        purchase_margin=settings.canary_purchase_margin,
        least_slates=settings.canary_least_slates,
        most_slates=settings.canary_most_slates,
    )


def _feedback(value: bytes | None) -> Feedback | None:
    try:
        record = decode_feedback(value or b"")
    except BadEvent as exc:
        log.warning("no feedback", extra={"reason": str(exc)})
        return None
    return record if isinstance(record, Feedback) else None
