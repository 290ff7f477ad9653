"""What became of every event, from the broker's offsets and Redis: what was meant to be sent doesn't count here."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from streams.contracts.topics import EVENTS, FEEDBACK, ITEMS
from streams.demo.loop import Learned, Loop
from streams.errors import Unreachable
from streams.kafka_admin import TIMEOUT_S, admin
from streams.online.snapshot import decode
from streams.online.versions import Versions
from streams.settings import Settings
from streams.store.connection import connect
from streams.store.redis import RedisStore

_TO_THE_END = {
    "group.id": "streamrank-demo-account",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 10,
}


@dataclass(frozen=True, slots=True)
class Account:
    """Counts of `events`. `settled`: all that was published is applied, and nothing moved while it was counted."""

    published: int
    applied: int
    duplicates: int
    dead_letters: int
    slates: int
    settled: bool

    @property
    def lost(self) -> int:
        """Records that changed nothing and were reported nowhere; 0 once settled, or something is broken."""
        return self.published - self.applied - self.duplicates - self.dead_letters


class Bookkeeper:
    """Reads broker and Redis; a context manager, for one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._partitions = range(settings.partitions)
        self._admin = admin(settings)
        self._consumer = Consumer(settings.kafka_client_config() | _TO_THE_END)
        self._store = RedisStore.from_settings(settings)
        self._redis = connect(settings)
        self._versions = Versions(self._redis, settings.key_prefix, settings.triton_model)
        self._runner = asyncio.Runner()

    def __enter__(self) -> "Bookkeeper":
        self._runner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._consumer.close()
            self._runner.run(self._store.close())
            self._runner.run(self._redis.close())
        finally:
            self._runner.__exit__(kind, error, trace)

    def items_written(self) -> tuple[int, int]:
        """Return how many records `items` holds, and how many of them are in Redis.

        Raises:
            Unreachable: broker or Redis.
        """
        ends = self._ends(ITEMS)
        positions = self._runner.run(self._store.items_positions())
        return sum(ends.values()), sum(min(positions.get(p, -1) + 1, end) for p, end in ends.items())

    def events(self) -> Account:
        """Return the present counts; the worker's own ticks are neither published nor applied.

        Raises:
            Unreachable: broker or Redis.
        """
        before = self._ends(EVENTS)
        stats, applied = self._runner.run(self._read())
        still = self._ends(EVENTS) == before
        return Account(
            published=sum(before.values()) - stats.get("ticks", 0),
            applied=stats.get("applied", 0),
            duplicates=stats.get("duplicates", 0),
            dead_letters=stats.get("dead_letters", 0),
            slates=stats.get("slates", 0),
            settled=still and applied == before,
        )

    def loop(self) -> Loop:
        """Return what has become of the slates so far.

        Raises:
            Unreachable: broker or Redis.
            StoreMismatch: what the learner saved is of another contract.
        """
        records = sum(self._ends(FEEDBACK).values())
        stats, saved = self._runner.run(self._read_loop())
        return Loop.of(records, stats, Learned() if saved is None else decode(Learned, saved))

    async def _read_loop(self) -> tuple[dict[str, int], bytes | None]:
        return await self._store.stats(self._partitions), await self._versions.saved()

    async def _read(self) -> tuple[dict[str, int], dict[int, int]]:
        """Return the stats, and the end of what is applied by partition, read before them."""
        positions = await self._store.positions(self._partitions)
        stats = await self._store.stats(self._partitions)
        return stats, {p: position.offset + 1 if position else 0 for p, position in positions.items()}

    def _ends(self, topic: str) -> Mapping[int, int]:
        """Return the offset after the last record of each partition, as a fetch tells it.

        (Asked for its latest offsets, Tansu answers with the start of the last batch plus one.)
        """
        name = self._settings.topic(topic)
        places = [TopicPartition(name, p) for p in self._partitions]
        try:
            latest = self._admin.list_offsets({place: OffsetSpec.latest() for place in places})
            starts = {place.partition: future.result(TIMEOUT_S).offset for place, future in latest.items()}
            self._consumer.assign([TopicPartition(name, p, max(0, at - 1)) for p, at in starts.items()])
            return self._read_to_ends()
        except (KafkaException, TimeoutError) as exc:
            raise Unreachable(f"Kafka at {self._settings.kafka_bootstrap} does not say where {name} ends") from exc

    def _read_to_ends(self) -> dict[int, int]:
        ends: dict[int, int] = {}
        while len(ends) < len(self._partitions):
            message = self._consumer.poll(TIMEOUT_S)
            if message is None:
                raise TimeoutError
            error = message.error()
            if error is None:
                continue
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  the public name of librdkafka's code
                raise KafkaException(error)
            ends[message.partition()] = message.offset()
        return ends
