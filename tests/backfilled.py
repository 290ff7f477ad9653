"""What a backfill must come to: the same log through the worker's pipeline in memory, each absorb behind its alias."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streams.contracts import events as ev
from streams.contracts.partition import partition_of
from streams.contracts.topics import EVENTS
from streams.decode import Record
from streams.settings import Settings
from streams.simulate import offline_pipeline, records
from streams.store.base import FeatureStore
from streams.store.memory import MemoryStore
from tests.logs import START_MS, shop_log
from tests.support import counter_values

EVENTS_A_NOVELTY = 20
OUTCOMES = ("applied", "duplicates", "dead_letters", "ticks")
"""What becomes of a record; the other counts are of slates, which a backfill doesn't make."""


def write_log(path: Path, lines: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def busy_log(events: int) -> list[bytes]:
    """Return a shop's log with aliases and forgets, then views of one item among ever new ones: a row to be pruned."""
    rng = random.Random(7)
    lines = [value for _, value in shop_log(events // 2, seed=5)]
    for n in range(events - len(lines)):
        item = "hot" if n % 2 else f"new-{n // EVENTS_A_NOVELTY}"
        view = ev.View(user_id=f"v{rng.randrange(40)}", item_id=item, at_ms=START_MS + n * 1_000)
        lines.append(msgspec.json.encode(view))
    return lines


async def reference(lines: Sequence[bytes], settings: Settings) -> MemoryStore:
    """Run a log through the pipeline, batch after batch; an alias ends its batch, and its absorb is the next one."""
    store = MemoryStore()
    pipeline = offline_pipeline(settings, None, store)
    await pipeline.start()
    await pipeline.assign(range(settings.partitions))
    last = [-1] * settings.partitions
    for batch in _up_to_aliases(records(lines, settings.partitions)):
        for record in batch:
            last[record.partition] = record.offset
        async for message in _outbox(pipeline, batch):
            assert message.key
            at_ms = msgspec.json.decode(message.value)["at_ms"]
            partition = partition_of(message.key, settings.partitions)
            absorb = Record(partition, last[partition], message.key, message.value, at_ms)
            assert [left async for left in _outbox(pipeline, [absorb])] == []
    return store


async def _outbox(pipeline: Any, batch: Sequence[Record]) -> Any:
    left: Any = {}
    for record in batch:
        left.setdefault(record.partition, []).append(record)
    while left:
        outcome = await pipeline.run(left)
        assert not outcome.fenced
        for message in (message for outbox in outcome.outbox.values() for message in outbox):
            if message.topic == EVENTS:
                yield message
        left = outcome.rest


def _up_to_aliases(log: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in log:
        batch.append(record)
        if len(batch) >= 1_000 or b'"type":"alias"' in (record.value or b""):
            yield batch
            batch = []
    yield batch


async def contents(store: FeatureStore, settings: Settings) -> Mapping[str, Any]:
    """Return all that a backfill decides: positions, states, counters, what became of the records, the outboxes."""
    partitions = range(settings.partitions)
    stats = await store.stats(partitions)
    positions = await store.positions(partitions)
    return {
        "positions": {p: at and (at.offset, at.watermark_ms, at.applied) for p, at in positions.items()},
        "states": {(p, user): state for p in partitions async for user, state in store.states(p)},
        "counters": {
            (p, row, field): value
            for p in partitions
            async for change in store.counts(p)
            for row, field, value in counter_values(change)
        },
        "stats": {name: stats.get(name, 0) for name in OUTCOMES},
    }
