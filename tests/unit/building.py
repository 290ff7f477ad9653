"""What tests of the core are built from: events, records, a catalogue, a ranker, and a pipeline over a memory store."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from inference.ranker import Ranked, Ranker, RankerInputs
from inference.tensors import FEATURES, HEADS
from streams.contracts import events as ev
from streams.contracts.items import Item
from streams.contracts.partition import partition_of
from streams.decode import Record
from streams.errors import RankerUnavailable
from streams.features.user import EMPTY, UserState, fold, unpack_state
from streams.pipeline import Outcome, Pipeline
from streams.settings import Settings
from streams.simulate import offline_pipeline
from streams.store.base import Message
from streams.store.memory import MemoryStore

T0 = 1_732_212_000_000
"""A moment in November 2024, on a whole minute."""
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def at(minutes: float) -> int:
    """Return the moment so many minutes after T0."""
    return T0 + round(minutes * MINUTE)


def wire(name: str, /, user: str = "u1", at_ms: int | None = T0, **fields: Any) -> bytes:
    """Return an event as a client sends it."""
    event: dict[str, Any] = {"type": name, "user_id": user}
    if at_ms is not None:
        event["at_ms"] = at_ms
    return json.dumps(event | fields).encode()


def event(name: str, /, user: str = "u1", **fields: Any) -> Any:
    """Return a decoded event."""
    return ev.decode_event(wire(name, user, None, **fields))


def folded(*steps: tuple[Any, int], state: UserState = EMPTY) -> UserState:
    """Fold (event, at_ms) one after the other."""
    for one, at_ms in steps:
        state = fold(state, one, at_ms)
    return state


def records(values: Iterable[bytes], partitions: int = 1, start: int = 0, lag_ms: int = 0) -> list[Record]:
    """Number well-formed events as the broker would; Kafka's time is the event's plus `lag_ms`."""
    offsets = [start] * partitions
    made = []
    for value in values:
        fields = json.loads(value)
        key = fields["user_id"].encode() if "user_id" in fields else None
        partition = partition_of(key, partitions) if key is not None else fields["partition"]
        made.append(Record(partition, offsets[partition], key, value, fields.get("at_ms", T0) + lag_ms))
        offsets[partition] += 1
    return made


def raw(value: bytes | None, key: bytes | None = b"u1", *, offset: int = 0, timestamp_ms: int = T0) -> Record:
    """Return a record of partition 0 with these bytes."""
    return Record(0, offset, key, value, timestamp_ms)


def item(item_id: str, **fields: Any) -> Item:
    """Return a catalogue item."""
    return msgspec.convert({"item_id": item_id} | fields, Item)


def settings(**fields: Any) -> Settings:
    """Return settings with one partition and a small slate budget, whatever the environment says."""
    return Settings.model_construct(**(Settings.model_construct().__dict__ | {"partitions": 1} | fields))


class RowRanker:
    """Scores every candidate from its own row alone, as the contract demands; counts its calls."""

    model = "rows/1"

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self._weights = np.random.default_rng(7).normal(size=(len(FEATURES), len(HEADS)))

    async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
        self.calls.append(inputs.item_ids.shape)
        scores = (inputs.features.astype(np.float64)[..., None] * self._weights).sum(axis=-2)
        scores += (inputs.item_ids % 97)[..., None] * 1e-3
        return Ranked((1.0 / (1.0 + np.exp(-scores))).astype(np.float32), self.model)


class DeadRanker:
    """Never answers."""

    async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
        raise RankerUnavailable("ranker/7 did not answer within 100 ms")


async def started(
    store: MemoryStore | None = None,
    ranker: Ranker | None = None,
    items: Sequence[Item] = (),
    **fields: Any,
) -> Pipeline:
    """Return a pipeline that owns all its partitions."""
    chosen = settings(**fields)
    pipeline = offline_pipeline(chosen, ranker, store)
    for one in items:
        pipeline.catalogue.upsert(one)
    await pipeline.start()
    await pipeline.assign(range(chosen.partitions))
    return pipeline


async def run_all(pipeline: Pipeline, log: Sequence[Record]) -> list[Outcome]:
    """Run one batch and whatever it left, until nothing is left."""
    outcomes = []
    left: dict[int, Sequence[Record]] = {}
    for record in log:
        left[record.partition] = [*left.get(record.partition, []), record]
    while left:
        outcomes.append(await pipeline.run(left))
        left = dict(outcomes[-1].rest)
    return outcomes


def published(outcomes: Iterable[Outcome], topic: str) -> Iterator[Message]:
    """Yield the messages that the outcomes publish on a topic."""
    for outcome in outcomes:
        for messages in outcome.outbox.values():
            yield from (message for message in messages if message.topic == topic)


def bodies(outcomes: Iterable[Outcome], topic: str) -> list[dict[str, Any]]:
    """Return those messages, decoded."""
    return [json.loads(message.value) for message in published(outcomes, topic)]


async def states(store: MemoryStore, partitions: int = 1) -> dict[str, UserState]:
    """Return all states in a store."""
    return {user: unpack_state(packed) for p in range(partitions) async for user, packed in store.states(p)}
