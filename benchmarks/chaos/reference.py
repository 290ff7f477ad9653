"""What the state must be: the log as it lies in the topics, folded in this process, with nothing but the fold itself.

No batches, no commits, no cache, no fault. Counters are summed by partition and pruned where the applied offset says.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from streams.agents.catalogue import item_change
from streams.contracts import events as ev
from streams.contracts.topics import EVENTS, ITEMS
from streams.decode import Decoder, Record
from streams.errors import BadEvent
from streams.features.counts import Counts, count, new_counts
from streams.features.user import EMPTY, UserState, current, fold, pack_state
from streams.settings import Settings
from streams.store.base import PRUNE_EVERY, Commit, FeatureStore, Position
from streams.store.memory import MemoryStore

Letter = tuple[str, int, int]
"""Topic without prefix, partition and offset of what became a dead letter."""
Counters = dict[tuple[int, str, str], int]
"""By partition, row and field."""


@dataclass
class Reference:
    """What a log comes to, without any fault."""

    states: dict[str, UserState] = field(default_factory=lambda: defaultdict(lambda: EMPTY))
    outcomes: Counter[str] = field(default_factory=Counter)
    letters: set[Letter] = field(default_factory=set)
    requests: dict[str, bool] = field(default_factory=dict)
    """By id, whether it has a deadline."""
    counters: Counters = field(default_factory=dict)
    catalogue: dict[str, bytes] = field(default_factory=dict)

    def packed(self) -> dict[str, bytes]:
        """Return the states that a store would hold."""
        return {user: pack_state(state) for user, state in self.states.items() if state.last_ms}


async def reference(settings: Settings, events: Iterable[Record], items: Iterable[Record]) -> Reference:
    """Fold both topics; records come partition by partition, in order."""
    made = Reference()
    decoder = Decoder(settings.partitions, settings.max_future_ms)
    by_partition: dict[int, list[Record]] = defaultdict(list)
    for record in events:
        by_partition[record.partition].append(record)
    store = MemoryStore()
    for partition, records in by_partition.items():
        believed = Position()
        for slice_ in (records[i : i + PRUNE_EVERY] for i in range(0, len(records), PRUNE_EVERY)):
            counts = new_counts()
            for record in slice_:
                _fold_one(made, decoder, record, counts)
            position = Position(0, slice_[-1].offset, 0, believed.applied + len(slice_))
            token, prune = str(position.applied), believed.applied > 0
            await store.commit([Commit(partition, believed, position, token, counts=counts, prune=prune)])
            believed = position
        made.counters |= await counters(store, partition)
    _catalogue(made, items)
    return made


async def counters(store: FeatureStore, partition: int) -> Counters:
    """Return the counters that a store holds of a partition."""
    return {
        (partition, row.name, name): value
        async for change in store.counts(partition)
        for row in change.rows
        for name, value in zip(row.fields, row.values, strict=True)
    }


def _fold_one(made: Reference, decoder: Decoder, record: Record, counts: Counts) -> None:
    try:
        decoded = decoder.decode(record, trusted_key=None)
    except BadEvent:
        made.outcomes["dead_letters"] += 1
        made.letters.add((EVENTS, record.partition, record.offset))
        return
    event = decoded.event
    if isinstance(event, ev.Tick):
        made.outcomes["ticks"] += 1
        return
    before = current(made.states[event.user_id], decoded.at_ms)
    after = fold(before, event, decoded.at_ms)
    if after is before:
        made.outcomes["duplicates"] += 1
        return
    made.outcomes["applied"] += 1
    made.states[event.user_id] = after
    count(counts, before, event, decoded.at_ms)
    if isinstance(event, ev.Request):
        made.requests[event.request_id] = event.deadline_ms is not None


def _catalogue(made: Reference, items: Iterable[Record]) -> None:
    for record in items:
        try:
            change = item_change(record.key, record.value)
        except BadEvent:
            made.letters.add((ITEMS, record.partition, record.offset))
            continue
        if change.value is None:
            made.catalogue.pop(change.item_id, None)
        else:
            json.loads(change.value)
            made.catalogue[change.item_id] = change.value
