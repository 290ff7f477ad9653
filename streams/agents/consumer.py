"""Reading Kafka in chunks: Faust's consumer, taught to deliver many records as one message.

Faust hands an agent one record a loop turn and makes two tasks for each (`benchmarks/empty_agent.py` measures that).
Here up to 500 records of a partition travel as one `Chunk`; agents, streams and acks stay as they are. Where to read
on is not Kafka's committed offset but what the store has applied: an assignment only moves the `Flow`, and the task
that owns the pipeline seeks. (Reading the store inside `seek_to_committed` would be under a time limit of Faust's,
after which its recovery task ends for good.) The offset committed to Kafka is for display of the lag.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.agents.flow import Flow
from streams.agents.vitals import check_consumer

CHUNK_RECORDS = 500
CHUNK_BYTES = 1024 * 1024
"""A chunk is cut when its records reach this size, so one is at most this plus the largest message."""
FETCH_BYTES = 16 * 1024 * 1024
"""What one fetch may return over all partitions."""
POLL_S = 1.0

faust_log = logging.getLogger("faust.streamrank")


class Chunk(ConsumerMessage):  # type: ignore[misc]
    """Records of one partition as one message of Faust's; its offset is that of the last record."""

    def __init__(
        self, tp: TP, records: Sequence[Any], size_bytes: int, *, generation_id: int, flow_number: int
    ) -> None:
        last = records[-1]
        super().__init__(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000, last.timestamp_type, [], None, b"", None,
            0, size_bytes, tp, generation_id=generation_id,
        )  # fmt: skip
        self.records = records
        self.size_bytes = size_bytes
        self.flow_number = flow_number


def cut(records: Sequence[Any], max_records: int) -> Iterator[tuple[Sequence[Any], int]]:
    """Yield the records in order in slices of at most `max_records` and about CHUNK_BYTES, with their bytes."""
    start = size = 0
    for i, record in enumerate(records):
        size += record.serialized_key_size + record.serialized_value_size
        if i + 1 - start == max_records or size >= CHUNK_BYTES:
            yield records[start : i + 1], size
            start, size = i + 1, 0
    if start < len(records):
        yield records[start:], size


class ChunkThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that talks to Kafka: fetches wait as the settings say, and a failed commit harms nobody."""

    logger = faust_log

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.app.fetch_max_wait_ms  # noqa: SLF001  Faust fixes it at 1,500 ms
        consumer._fetch_max_bytes = FETCH_BYTES  # noqa: SLF001
        self._watch_connections(consumer._client)  # noqa: SLF001
        return consumer

    def _watch_connections(self, client: Any) -> None:
        """Have positions sought again whenever a connection is lost: who answers next may hold another log.

        A fetch names topics, not their ids. From a topic that was made anew it would bring what lies behind the old
        position, as if it followed; only a placement looks at the ids.
        """
        note = client._on_connection_closed  # noqa: SLF001

        def closed(connection: Any, reason: Any) -> None:
            note(connection, reason)
            with contextlib.suppress(RuntimeError):  # the worker has ended, and its loop with it
                self.parent_loop.call_soon_threadsafe(self.app.flow.move_again)

        client._on_connection_closed = closed  # noqa: SLF001

    def check(self) -> None:
        """Look at what reads, from any thread.

        Raises:
            TaskEnded: nothing would be read any more.
        """
        check_consumer(self._consumer)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        try:
            await consumer.commit(
                {driver.ensure_aiokafka_TP(tp): at for tp, at in offsets.items() if tp in self.assignment()}
            )
        except (KafkaError, IllegalStateError) as exc:
            self.log.warning("offsets not committed to Kafka, which only shows as lag: %s", type(exc).__name__)
            return False
        return True

    async def committed(self, partitions: Sequence[TP]) -> dict[TP, int]:
        """Return what the group has committed, for the partitions where it has."""
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001  aiokafka asks one by one
        answer = await self.call_thread(coordinator.fetch_committed_offsets, list(partitions))
        return {TP(tp.topic, tp.partition): meta.offset for tp, meta in answer.items() if meta.offset >= 0}


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer with chunks instead of records, placed by the owner of the pipeline."""

    logger = faust_log

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def flow(self) -> Flow:
        """The flow that the app shares with its tasks."""
        return cast(Flow, self.app.flow)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Make all that was read stale before Faust gives the partitions away."""
        self.flow.hold()
        await super().on_partitions_revoked(revoked)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Called by Faust once an assignment is complete: ask for positions, and seek nothing yet."""
        self.flow.move()
        return {}

    async def place(self, positions: Mapping[TP, int], flow_number: int) -> bool:
        """Seek to `positions` (next offsets) and read on; False if the assignment has changed meanwhile."""
        try:
            await self.seek_wait(positions)
        except IllegalStateError:
            return False
        if self.flow.number != flow_number:
            return False
        self._committed_offset.update(positions)
        self.flow.place()
        return True

    async def committed(self, partitions: Sequence[TP]) -> dict[TP, int]:
        """Return what the group has committed to Kafka, for the partitions where it has."""
        return await cast(ChunkThread, self._thread).committed(partitions)

    def check(self) -> None:
        """Look at what reads; see `ChunkThread.check`."""
        cast(ChunkThread, self._thread).check()

    def lag(self, tp: TP, next_offset: int) -> int:
        """Return how many records of `tp` wait, as far as the last fetch told."""
        return max((self.highwater(tp) or 0) - next_offset, 0)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust's guesses about slow streams don't hold for chunks; see `streams.health`."""

    def _new_offset(self, tp: TP) -> int | None:
        # Chunks are acked in order and only after their commit, so the newest ack stands for all before it.
        acked = self._acked[tp]
        if not acked:
            return None
        newest = max(acked) + 1
        acked.clear()
        self._acked_index[tp].clear()
        return cast(int, newest)

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self._drain_once()
        except (*self.consumer_stopped_errors, asyncio.CancelledError):
            if not self.transport.app.should_stop:
                raise

    async def _drain_once(self) -> None:
        flow_number = self.flow.number
        if not self.flow.placed.is_set():
            await self.wait_first(self.flow.placed.wait(), timeout=POLL_S)
            return
        records, _ = await self._wait_next_records(POLL_S)
        await asyncio.sleep(0)
        if not records or self.should_stop:
            return
        if self.flow.number != flow_number:
            self._drop()
        elif not self.flow_active:
            self.flow.move()
        else:
            await self._deliver(records, flow_number)

    def _drop(self) -> None:
        """Forget records of an earlier flow. The fetch may have ended after the seek of this one: then seek again.

        Otherwise reading would go on behind them; nobody would miss them in `items`, which has holes of its own.
        """
        self.flow.move_again()

    async def _deliver(self, records: Mapping[Any, Sequence[Any]], flow_number: int) -> None:
        for tp, chunk in self._chunks(records, flow_number):
            if self.flow.number != flow_number:
                return
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            await self.wait_first(self.callback(chunk), self.suspend_flow.wait())

    def _chunks(self, records: Mapping[Any, Sequence[Any]], flow_number: int) -> Iterable[tuple[TP, Chunk]]:
        generation_id = self.app.consumer_generation_id
        for partition, run in records.items():
            tp = TP(partition.topic, partition.partition)
            for part, size_bytes in cut(run, self.app.chunk_records):
                yield tp, Chunk(tp, part, size_bytes, generation_id=generation_id, flow_number=flow_number)


class ChunkTransport(driver.Transport):  # type: ignore[misc]
    """Faust's transport with the consumer above."""

    Consumer = ChunkConsumer
