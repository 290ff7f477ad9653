"""What the suites of `FeatureStore` share: building commits, and reading everything that a partition holds."""

from collections.abc import Mapping
from typing import Any

from streams.store.base import Commit, Committed, FeatureStore, Position
from tests.support import counter_values

PARTITIONS = 4
OPENING: dict[str, Any] = {"partitions": PARTITIONS, "fold_version": 1, "topic_ids": {"events": "A", "items": "I"}}
Counters = dict[tuple[str, str], int]


async def opened(store: FeatureStore) -> FeatureStore:
    """Claim the namespace for `store`."""
    await store.open(**OPENING)
    return store


def following(believed: Position, records: int = 10, partition: int = 1, writer: str = "we", **what: Any) -> Commit:
    """Return a commit of the next records after `believed`; its token is of the writer and the position."""
    position = Position(
        believed.epoch, believed.offset + records, believed.watermark_ms + 7, believed.applied + records
    )
    return Commit(partition, believed, position, f"{writer} {position.offset}", **what)


async def commit(store: FeatureStore, one: Commit) -> Committed:
    """Commit one."""
    (answer,) = await store.commit([one])
    return answer


async def applied(store: FeatureStore, one: Commit) -> Position:
    """Commit one, which must not be fenced; return the position reached."""
    answer = await commit(store, one)
    assert answer == Committed(fenced=False, stored=one.position)
    return one.position


async def counters(store: FeatureStore, partition: int = 1) -> Counters:
    """Load the counters of a partition; none may come twice."""
    found: Counters = {}
    async for change in store.counts(partition):
        assert change.partition == partition
        for row, field, value in counter_values(change):
            assert (row, field) not in found
            found[row, field] = value
    return found


async def follow(store: FeatureStore, marks: dict[int, str], into: Counters, partition: int = 1) -> bool:
    """Apply the changes since `marks`; return False if some were dropped."""
    changes, complete = await store.changes([partition], marks)
    for change in changes:
        for row, field, value in counter_values(change):
            into[row, field] = value
            if value == 0:
                del into[row, field]
    return complete


async def everything(store: FeatureStore, partition: int = 1) -> Mapping[str, Any]:
    """Return all that a partition holds; two of these are equal exactly if nothing was changed in between."""
    marks: dict[int, str] = {}
    await store.changes([partition], marks)
    return {
        "position": (await store.positions([partition]))[partition],
        "outbox": await store.outbox(partition),
        "states": {user: state async for user, state in store.states(partition)},
        "waiting": (await store.waiting([partition]))[partition],
        "counters": await counters(store, partition),
        "stats": await store.stats([partition]),
        "mark": marks,
    }
