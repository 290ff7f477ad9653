"""The agent over `items`: every upsert and delete goes into the store's catalogue, what is wrong to dead letters.

Readers (all workers) follow the store's changes, not this topic. A chunk is written up to the offset of its last
record, so a repeat does nothing; dead letters are published before, so none is lost.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from streams.agents.flow import Flow, Inbox
from streams.agents.process import RETRY_FIRST_S, RETRY_MOST_S
from streams.agents.publish import Publisher
from streams.contracts.items import decode_item
from streams.contracts.slates import dead_letter, encode
from streams.contracts.topics import DEAD_LETTERS
from streams.contracts.wire import MAX_ID_LENGTH
from streams.errors import BadEvent, Unreachable
from streams.metrics import Metrics
from streams.outbox import MAX_KEY_BYTES
from streams.pipeline import Pipeline
from streams.poll import poll
from streams.settings import Settings
from streams.store.base import FeatureStore, ItemChange, Message

log = logging.getLogger(__name__)


async def read_items(stream: Any, inbox: Inbox) -> None:
    """Put every chunk into the inbox; it is acked when it is written, not here."""
    async for event in stream.noack().events():
        await inbox.put(event)


def item_change(key: bytes | None, value: bytes | None) -> ItemChange:
    """Return what a record of `items` changes.

    Raises:
        BadEvent: it is not an item, or its key is not its `item_id`.
    """
    if key is None:
        raise BadEvent("the key must be the item_id, this message has none", "$key")
    try:
        item_id = key.decode()
    except UnicodeDecodeError as exc:
        raise BadEvent("the key is not UTF-8", "$key") from exc
    if not 1 <= len(item_id) <= MAX_ID_LENGTH:
        raise BadEvent(f"the key has {len(item_id)} characters, an item_id has 1 to {MAX_ID_LENGTH}", "$key")
    if value is None:
        return ItemChange(item_id, None)
    item = decode_item(value)
    if item.item_id != item_id:
        raise BadEvent(f"the key is {item_id!r}, not this item_id", "$.item_id")
    return ItemChange(item_id, value)


class Cataloguer:
    """Writes what the agent reads, one chunk after another."""

    def __init__(
        self,
        flow: Flow,
        inbox: Inbox,
        store: FeatureStore,
        publisher: Publisher,
        ids: Mapping[str, str],
        metrics: Metrics,
    ) -> None:
        self._flow = flow
        self._inbox = inbox
        self._store = store
        self._publisher = publisher
        self._ids = ids
        self._metrics = metrics
        self._stopping = False

    def stop(self) -> None:
        """Make `run` return after the current chunk."""
        self._stopping = True
        self._inbox.wake.set()

    async def run(self) -> None:
        """Work until `stop`."""
        while not self._stopping:
            self._inbox.wake.clear()
            events = self._inbox.take(self._flow.number, 1)
            if not events:
                await self._inbox.wake.wait()
            for event in events:
                if await self._insist(event.message):
                    event.ack()

    async def _insist(self, chunk: Any) -> bool:
        """Write a chunk, trying until it succeeds; False if it is not this worker's any more."""
        wait_s = RETRY_FIRST_S
        while not self._stopping and chunk.flow_number == self._flow.number:
            try:
                await self._write(chunk)
            except Unreachable as exc:
                log.warning("catalogue waits, nothing is lost", extra={"reason": str(exc)})
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_MOST_S)
            else:
                return True
        return False

    async def _write(self, chunk: Any) -> None:
        changes, letters = self._changes(chunk.records)
        await self._publisher.publish(letters)
        if changes:
            await self._store.upsert_items(chunk.partition, chunk.offset, changes)
        self._metrics.items(len(changes), len(letters))

    def _changes(self, records: Sequence[Any]) -> tuple[list[ItemChange], list[Message]]:
        changes: list[ItemChange] = []
        letters: list[Message] = []
        for record in records:
            try:
                changes.append(item_change(record.key, record.value))
            except BadEvent as exc:
                letter = dead_letter(
                    exc.reason, exc.path, topic=record.topic, topic_id=self._ids[record.topic],
                    partition=record.partition, offset=record.offset, key=record.key, value=record.value,
                )  # fmt: skip
                key = None if record.key is None else record.key[:MAX_KEY_BYTES]
                letters.append(Message(DEAD_LETTERS, key, encode(letter)))
        return changes, letters


async def follow_changes(pipeline: Pipeline, settings: Settings) -> None:
    """Give the pipeline what changed of catalogue and counters, every `snapshot_every_ms` until cancelled."""
    await poll(pipeline.refresh, settings.snapshot_every_ms / 1000, "catalogue and counters grow old")
