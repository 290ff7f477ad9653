"""The clock of silent partitions: a `tick` on each owned partition of `events` that had no record for a while.

Time comes only from events, so on a silent partition nothing would expire and no window would close. A tick says how
late it is elsewhere: the newest watermark this worker knows plus the time since it was first seen, never after now.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping

from streams.agents.process import Processor
from streams.agents.publish import Publisher
from streams.contracts.events import Tick
from streams.contracts.slates import encode
from streams.contracts.topics import EVENTS
from streams.errors import Unreachable
from streams.pipeline import Pipeline
from streams.settings import Settings
from streams.store.base import Message

log = logging.getLogger(__name__)


class Silence:
    """When each partition was last heard of and ticked, and how late it is in event time (ms)."""

    def __init__(self, tick_after_ms: int) -> None:
        self._after_s = tick_after_ms / 1000
        self._newest_ms = 0
        self._seen_s = 0.0
        self._ticked_s: dict[int, float] = {}

    def see(self, watermarks: Mapping[int, int], now_s: float) -> None:
        """Take note of the known watermarks at the monotonic time `now_s`."""
        newest_ms = max(watermarks.values(), default=0)
        if newest_ms > self._newest_ms:
            self._newest_ms, self._seen_s = newest_ms, now_s

    def due(self, heard_s: Mapping[int, float], now_s: float, now_ms: int) -> Iterator[Tick]:
        """Yield a tick for each partition that is silent; none while no watermark is known."""
        if not self._newest_ms:
            return
        at_ms = min(self._newest_ms + int((now_s - self._seen_s) * 1000), now_ms)
        for partition, heard in heard_s.items():
            if now_s - max(heard, self._ticked_s.get(partition, 0.0)) >= self._after_s:
                self._ticked_s[partition] = now_s
                yield Tick(partition=partition, at_ms=at_ms)


async def publish_ticks(processor: Processor, pipeline: Pipeline, publisher: Publisher, settings: Settings) -> None:
    """Tick silent partitions until cancelled. A tick that can't be published is left out: another follows."""
    silence = Silence(settings.tick_after_ms)
    while True:
        await asyncio.sleep(settings.tick_after_ms / 4000)
        silence.see(pipeline.watermarks, time.monotonic())
        ticks = silence.due(processor.last_record_s, time.monotonic(), int(time.time() * 1000))
        messages = [Message(EVENTS, None, encode(tick), tick.partition) for tick in ticks]
        try:
            await publisher.publish(messages)
        except Unreachable as exc:
            log.warning("ticks not published", extra={"reason": str(exc)})
