"""Backfill of a log into Valkey beside the same log folded in memory by one process: what Redis and processes cost.

Both read the file; the backfill's time is that of the whole command, its survey and the start of processes included.
"""

import asyncio
import gc
import os
import time
from pathlib import Path
from uuid import uuid4

from benchmarks.report import Section
from benchmarks.shop import Shop, Size
from streams.backfill.run import Backfill, Filled
from streams.cli import GC_THRESHOLDS
from streams.embedded.stack import Addresses
from streams.event_log import EventLog
from streams.settings import load_settings
from streams.simulate import offline_pipeline, records, run

EVENTS, USERS = 400_000, 20_000
BATCH = 2_000
PARTITIONS = 8


def measure(addresses: Addresses, folder: Path, command: str) -> list[Section]:
    """Measure memory first, then Valkey with one process and with one a core."""
    gc.set_threshold(*GC_THRESHOLDS)
    section = Section(f"backfill of {EVENTS:,} events of {USERS:,} users", command)
    log, history = folder / "events.jsonl", Shop(Size(users=USERS)).history(EVENTS, int(time.time() * 1000))
    with log.open("wb") as file:
        file.writelines(value + b"\n" for _, value in history)
    simulated = EVENTS / asyncio.run(_simulate(log))
    section.floor("state-only simulate, in memory", simulated, "events/s", "one process")
    for processes in sorted({1, len(os.sched_getaffinity(0))}):
        filled = _backfill(addresses, log, processes)
        name = f"backfill, {processes} process{'es' if processes > 1 else ''}"
        section.add(name, filled.events_s, "events/s", note=f"{filled.seconds:.1f} s in all")
        section.add(f"{name} / simulate", filled.events_s / simulated, "x")
        if filled.events != EVENTS:
            section.broken.append(f"{EVENTS} events are in the log, {filled.events} were applied")
    return [section]


def _backfill(addresses: Addresses, log: Path, processes: int) -> Filled:
    prefix = f"bench-{uuid4().hex[:6]}."
    settings = load_settings(None, partitions=PARTITIONS, redis_url=addresses.redis_url, key_prefix=prefix)
    return Backfill(settings, log, None, processes=processes).run()


async def _simulate(log: Path) -> float:
    """Return the seconds that the log takes in memory."""
    pipeline = offline_pipeline(load_settings(None, partitions=PARTITIONS), None)
    began = time.perf_counter()
    numbered = records((line for _, line in EventLog(log)), PARTITIONS)
    async for _ in run(pipeline, numbered, partitions=PARTITIONS, batch_events=BATCH):
        pass
    return time.perf_counter() - began
