"""Scores what the champion scored with the shadow, too, unseen and off the hot path, and counts how far they agree.

A slate is never delayed: what the champion answered is put on a short queue after the fact, and dropped, and counted,
when the shadow is behind. Sums go to Redis every FLUSH_S, from where `streamrank models show` prints the means.
"""

import asyncio
import logging
import time
from collections import Counter
from typing import Final, NamedTuple

import numpy as np

from inference.ranker import Ranked, Ranker, RankerInputs
from streams.errors import RankerUnavailable, Unreachable
from streams.rollout.agreement import MEASURES, agreement
from streams.rollout.pointer import Pointer
from streams.slate.select import worth

WAITING: Final = 2
"""Batches that may wait for the shadow. More: fewer are dropped in a burst, more memory is held."""
TIMEOUT_S: Final = 1.0
"""How long the shadow may take for a batch: longer than the champion, nobody waits."""
FLUSH_S: Final = 1.0

log = logging.getLogger(__name__)


class _Seen(NamedTuple):
    version: int
    ranker: Ranker
    inputs: RankerInputs
    champion: Ranked


class Shadowing:
    """The shadow's queue and sums in one worker; belongs to one event loop."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[_Seen] = asyncio.Queue(WAITING)
        self._sums: dict[int, Counter[str]] = {}

    def offer(self, version: int, ranker: Ranker, inputs: RankerInputs, champion: Ranked) -> None:
        """Have the shadow score a batch that the champion answered, or drop it; returns at once."""
        try:
            self._queue.put_nowait(_Seen(version, ranker, inputs, champion))
        except asyncio.QueueFull:
            self._count(version)["dropped"] += len(inputs)

    async def run(self, pointer: Pointer) -> None:
        """Score and tell until cancelled."""
        due_s = time.monotonic() + FLUSH_S
        while True:
            try:
                async with asyncio.timeout(max(0.0, due_s - time.monotonic())):
                    seen = await self._queue.get()
            except TimeoutError:
                await self._flush(pointer)
                due_s = time.monotonic() + FLUSH_S
            else:
                await self._score(seen)

    async def _score(self, seen: _Seen) -> None:
        counted, began = self._count(seen.version), time.perf_counter()
        try:
            ranked = await seen.ranker.rank(seen.inputs, TIMEOUT_S)
        except RankerUnavailable:
            counted["failed"] += len(seen.inputs)
            return
        elapsed_ms = (time.perf_counter() - began) * 1e3
        # In a thread: comparing takes as long as ranking, and slates go first.
        counted.update(await asyncio.to_thread(compare, seen.inputs, seen.champion, ranked))
        counted["calls"] += 1
        counted["latency_ms"] += elapsed_ms  # type: ignore[assignment]

    async def _flush(self, pointer: Pointer) -> None:
        sums, self._sums = self._sums, {}
        for version, counted in sums.items():
            try:
                await pointer.add_shadowed(version, counted)
            except Unreachable as exc:
                self._count(version).update(counted)
                log.warning("what the shadow said waits", extra={"reason": str(exc)})

    def _count(self, version: int) -> "Counter[str]":
        return self._sums.setdefault(version, Counter())


def compare(inputs: RankerInputs, champion: Ranked, shadow: Ranked) -> dict[str, float]:
    """Return the sums of all MEASURES over the requests of a batch, and `compared`, how many there are."""
    found = []
    for row, ids in enumerate(inputs.item_ids):
        real = ids > 0
        found.append(agreement(worth(champion.p[row][real]), worth(shadow.p[row][real])))
    told = [measures for measures in found if measures is not None]
    sums = np.sum(told, axis=0) if told else np.zeros(len(MEASURES))
    return dict(zip(MEASURES, sums.tolist(), strict=True)) | {"compared": len(told)}
