"""A backfill from beginning to end: read the log once, see that nobody else writes, fold it, say that it is whole.

A log whose lines carry offsets belongs to the `events` topic: its positions are stored under that topic's id, and a
worker reads on behind them. A log without belongs to no topic: its positions are stored under an id of its own, so a
worker finds another topic, begins an epoch and reads that from its start. A catalogue is always of the second kind.
"""

import asyncio
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streams.backfill.namespace import Claimed, Namespace, opened, own_topic_id
from streams.backfill.processes import Share, Told, fold_all
from streams.backfill.survey import Survey, survey
from streams.contracts.items import decode_item
from streams.contracts.topics import EVENTS, ITEMS
from streams.errors import BadEvent
from streams.event_log import EventLog
from streams.kafka_admin import TopicsMissing, describe, problems
from streams.settings import Settings
from streams.store.base import ItemChange

ITEMS_AT_ONCE = 500

OnReject = Callable[[Path, int, str], None]
OnProgress = Callable[[str, float], None]
"""Takes what is done now, and how much of it is done, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a namespace holds after a backfill, interrupted runs included; only `seconds` and `events_s` are this run's.

    `events` are applied, `duplicates` are repeats by event id or offset, `rejected` are lines that are no events (or
    items), `resumed` are records that earlier runs had applied.
    """

    events: int
    duplicates: int
    rejected: int
    items: int
    users: int
    resumed: int
    seconds: float
    events_s: float
    processes: int


class Backfill:
    """One log on its way into the namespace of the settings."""

    def __init__(
        self,
        settings: Settings,
        events: Path,
        items: Path | None,
        *,
        processes: int,
        on_reject: OnReject = lambda path, line, why: None,
        on_progress: OnProgress = lambda what, done: None,
    ) -> None:
        """`items` is the catalogue that belongs to the log, if there is one."""
        self._settings = settings
        self._events = events
        self._items = items
        self._processes = min(processes, settings.partitions)
        self._on_reject = on_reject
        self._on_progress = on_progress
        self._items_written = self._items_rejected = 0

    def run(self) -> Filled:
        """Fold the log, or what an interrupted run has left of it.

        Raises:
            StreamrankError: nothing was done, or running the same again goes on where this ended.
        """
        began = time.monotonic()
        surveyed = self._survey()
        topic_id = self._topic_id() if surveyed.numbered else own_topic_id(surveyed.identity)
        claimed = asyncio.run(self._claim(surveyed, topic_id))
        self._fold(surveyed, claimed, topic_id)
        return asyncio.run(self._finish(surveyed, claimed, began))

    def _survey(self) -> Survey:
        log = EventLog(self._events)
        return survey(
            log,
            self._settings.partitions,
            lambda line, why: self._on_reject(self._events, line, why),
            lambda: self._on_progress("survey", log.done),
        )

    def _topic_id(self) -> str:
        """Return the id of the topic that the log's offsets belong to."""
        name = self._settings.topic(EVENTS)
        states = describe(self._settings, [name])
        state, wrong = states[name], problems(self._settings, states)
        if state is None or wrong:
            raise TopicsMissing(f"Kafka at {self._settings.kafka_bootstrap}: {wrong[0]}")
        return state.topic_id

    async def _claim(self, surveyed: Survey, topic_id: str) -> Claimed:
        ids = {EVENTS: topic_id}
        if self._items is not None:
            ids[ITEMS] = own_topic_id(surveyed.identity)
        async with opened(self._settings) as namespace:
            claimed = await namespace.claim(surveyed.identity, ids)
            if self._items is not None:
                await self._put_items(namespace, EventLog(self._items))
        return claimed

    async def _put_items(self, namespace: Namespace, log: EventLog) -> None:
        changes: list[ItemChange] = []
        for number, line in log:
            try:
                changes.append(ItemChange(decode_item(line).item_id, line))
            except BadEvent as exc:
                self._items_rejected += 1
                self._on_reject(log.path, number, str(exc))
            if len(changes) == ITEMS_AT_ONCE:
                await self._put(namespace, number, changes)
                self._on_progress("items", log.done)
                changes = []
        await self._put(namespace, log.line, changes)

    async def _put(self, namespace: Namespace, last_line: int, changes: list[ItemChange]) -> None:
        if changes:
            await namespace.put_items(last_line, changes)
            self._items_written += len(changes)

    def _fold(self, surveyed: Survey, claimed: Claimed, topic_id: str) -> None:
        done = sum(position.applied for position in claimed.positions.values())
        shares = [
            Share(
                log=self._events,
                settings=self._settings,
                positions={p: at for p, at in claimed.positions.items() if p % self._processes == n},
                aliases=surveyed.aliases,
                topic_id=topic_id,
                cached_users=self._settings.cached_users // self._processes,
                gc_thresholds=gc.get_threshold(),
            )
            for n in range(self._processes)
        ]

        def on_told(told: Told) -> None:
            nonlocal done
            done += told.records
            for line, why in told.rejects:
                self._on_reject(self._events, line, why)
            self._on_progress("events", min(1.0, done / surveyed.records))

        fold_all(shares, on_told)

    async def _finish(self, surveyed: Survey, claimed: Claimed, began_s: float) -> Filled:
        async with opened(self._settings) as namespace:
            outcomes = await namespace.outcomes()
            positions = await namespace.positions()
            await namespace.finish()
            users = await namespace.users()
        resumed = sum(position.applied for position in claimed.positions.values())
        records = sum(at.applied for at in positions.values() if at is not None) - resumed
        seconds = time.monotonic() - began_s
        return Filled(
            events=outcomes.get("applied", 0),
            duplicates=outcomes.get("duplicates", 0) + surveyed.repeats,
            rejected=surveyed.rejected + outcomes.get("dead_letters", 0) + self._items_rejected,
            items=self._items_written,
            users=users,
            resumed=resumed,
            seconds=round(seconds, 3),
            events_s=round(records / max(seconds, 1e-9), 1),
            processes=self._processes,
        )
