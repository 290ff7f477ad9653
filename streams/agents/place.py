"""Where to read on after an assignment: what the store has applied, and never what Kafka has committed.

Commits in Kafka that the store knows nothing of mean that the store lost its data: the worker stops rather than
guesses. The broker is asked for the topics' ids each time, as one that was made anew counts from 0 again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiokafka.errors import KafkaError
from faust.types import TP

from streams.agents.consumer import ChunkConsumer
from streams.contracts.topics import EVENTS, ITEMS
from streams.errors import StateLost, StreamrankError, Unreachable
from streams.kafka_admin import topic_ids
from streams.pipeline import Pipeline
from streams.settings import Settings
from streams.store.base import FeatureStore, Position

log = logging.getLogger(__name__)

LOG_QUERY_S = 20.0


class TopicRecreated(StreamrankError):
    """A topic was deleted and made anew while the worker ran: it starts again, in a new epoch."""

    exit_code = 70


@dataclass(frozen=True, slots=True)
class Placed:
    """Next offset by partition of `events`."""

    events: Mapping[int, int] = field(default_factory=dict)


class Placer:
    """Finds the positions of the partitions this worker owns and seeks to them."""

    def __init__(
        self,
        consumer: Callable[[], ChunkConsumer],
        pipeline: Pipeline,
        store: FeatureStore,
        settings: Settings,
        ids: Mapping[str, str],
    ) -> None:
        self._consumer = consumer
        self._pipeline = pipeline
        self._store = store
        self._settings = settings
        self._ids = ids
        self._events = settings.topic(EVENTS)
        self._items = settings.topic(ITEMS)

    async def place(self) -> Placed | None:
        """Seek to what is applied; None if the assignment changed meanwhile.

        Raises:
            Unreachable: Redis or Kafka is away; try again.
            StateLost, TopicRecreated: the worker must stop.
        """
        consumer = self._consumer()
        flow_number = consumer.flow.number
        owned = consumer.assignment()
        await self._check_topics()
        events = sorted(tp.partition for tp in owned if tp.topic == self._events)
        self._pipeline.revoke(set(self._pipeline.watermarks).difference(events))
        stored = await self._pipeline.assign(events)
        written = await self._store.items_positions()
        if consumer.flow.number != flow_number:
            return None
        with self._asking():
            async with asyncio.timeout(LOG_QUERY_S):
                starts = await consumer.earliest_offsets(*owned)
                committed = await consumer.committed([tp for tp in owned if tp.topic == self._events])
        next_offsets = {
            tp: max(starts[tp], 0) if at < 0 else at + 1
            for tp in owned
            for at in [stored[tp.partition].offset if tp.topic == self._events else written.get(tp.partition, -1)]
        }
        self._check(stored, committed)
        if not await consumer.place(next_offsets, flow_number):
            return None
        log.info("partitions placed", extra={"partitions": events, "topic": self._events})
        return Placed({tp.partition: at for tp, at in next_offsets.items() if tp.topic == self._events})

    async def start_of(self, partition: int) -> int:
        """Return the first offset that the log of `events` still has."""
        tp = TP(self._events, partition)
        with self._asking():
            async with asyncio.timeout(LOG_QUERY_S):
                starts: Mapping[TP, int] = await self._consumer().earliest_offsets(tp)
        return starts[tp]

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (KafkaError, TimeoutError) as exc:
            address = self._settings.kafka_bootstrap
            raise Unreachable(f"Kafka at {address} does not answer: {type(exc).__name__}") from exc

    async def _check_topics(self) -> None:
        names = sorted(self._ids)
        now = await asyncio.to_thread(topic_ids, self._settings, names)
        if now != self._ids:
            changed: Sequence[str] = [name for name in names if now[name] != self._ids[name]]
            raise TopicRecreated(f"topics {', '.join(changed)} were made anew: a new epoch begins")

    def end_of(self, partition: int) -> int:
        """Return the offset after the last record of `events`, as the last fetch told.

        (Tansu answers a question for it with the start of its last batch.)
        """
        return self._consumer().highwater(TP(self._events, partition)) or 0

    def _check(self, stored: Mapping[int, Position], committed: Mapping[TP, int]) -> None:
        for partition, position in stored.items():
            tp = TP(self._events, partition)
            if position.offset < 0 and position.epoch == 0 and committed.get(tp, 0) > 0:
                raise StateLost(
                    f"Redis holds nothing of {self._events}-{partition}, of which Kafka says that {committed[tp]} "
                    f"records were applied: run `streamrank backfill`, or use another kafka_group"
                )
