"""Where batches are cut, and whether the caches are dropped in between, changes nothing that anyone can see."""

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.decode import Record
from streams.pipeline import Pipeline
from streams.store.memory import MemoryStore
from tests.property.logs import ITEMS, logs, records
from tests.support import counter_values
from tests.unit.building import RowRanker, item, started

PARTITIONS = 2
CATALOGUE = [item(name, title=f"thing {name}", price=n, brand="b") for n, name in enumerate(ITEMS)]
Seen = dict[str, Any]


async def owner(store: MemoryStore, every: int | None, cached_users: int) -> Pipeline:
    return await started(
        store, RowRanker(), CATALOGUE, partitions=PARTITIONS, snapshot_every_events=every, cached_users=cached_users
    )


async def seen(log: list[Record], cuts: set[int], dropped: set[int], every: int | None, cached_users: int) -> Seen:
    """Run the log, a new batch at each of `cuts`, a new owner at each of `dropped`; return all that came of it."""
    store = MemoryStore()
    pipeline = await owner(store, every, cached_users)
    published: list[Any] = []
    batch: dict[int, list[Record]] = {}
    for n, record in enumerate([*log, None]):
        if batch and (record is None or n in cuts):
            left: Any = batch
            while left:
                outcome = await pipeline.run(left)
                assert not outcome.fenced
                published += [(p, _lasting(m.topic, m.value), m.key) for p, out in outcome.outbox.items() for m in out]
                left = outcome.rest
            batch = {}
            if n in dropped:
                await pipeline.assign(range(PARTITIONS))
        if record is not None:
            batch.setdefault(record.partition, []).append(record)
    return {
        "states": {p: [one async for one in store.states(p)] for p in range(PARTITIONS)},
        "counters": {
            (p, row, name): value
            for p in range(PARTITIONS)
            async for change in store.counts(p)
            for row, name, value in counter_values(change)
        },
        "stats": await store.stats(range(PARTITIONS)),
        "published": sorted(published, key=lambda one: one[0]),
        "positions": await store.positions(range(PARTITIONS)),
    }


def _lasting(topic: str, value: bytes) -> tuple[str, Any]:
    body = json.loads(value)
    for name in ("at_ms", "latency_ms") if topic == "recommendations" else ():
        body.pop(name)
    return topic, body


cuts = st.sets(st.integers(0, 25))


@settings(max_examples=60)
@given(logs, cuts, cuts, st.sampled_from([1, 100]))
def test_cuts_dont_matter(log: list[dict[str, Any]], cut: set[int], dropped: set[int], cached_users: int) -> None:
    numbered = records(log, PARTITIONS)
    whole = asyncio.run(seen(numbered, set(), set(), None, 100))
    assert asyncio.run(seen(numbered, cut, dropped, None, cached_users)) == whole
    assert all(value > 0 for value in whole["counters"].values())
    assert sum(whole["stats"].get(name, 0) for name in ("applied", "duplicates", "dead_letters")) == len(numbered)


@settings(max_examples=30)
@given(logs, cuts, st.sampled_from([1, 3]))
def test_nor_do_they_with_a_snapshot_that_is_refreshed_by_count(
    log: list[dict[str, Any]], cut: set[int], every: int
) -> None:
    one_partition = [record for record in records(log, PARTITIONS) if record.partition == 0]
    whole = asyncio.run(seen(one_partition, set(), set(), every, 100))
    assert asyncio.run(seen(one_partition, cut, cut, every, 1)) == whole
