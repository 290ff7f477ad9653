"""The agent over `events`, and the one task that applies what it read.

The task takes what is there over all partitions, runs the pipeline up to the commit, publishes the outbox, awaits its
delivery, and then acks. The next batch is folded and ranked meanwhile, and commits only when all was delivered. The
task is the only one that touches the pipeline's positions: after each assignment it finds them (see `place`),
republishes the last outbox of every partition, and only then commits anything. While Redis or Kafka is away it keeps
its batch and tries again; nothing is acked and nothing is lost.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from streams.agents.flow import Flow, Inbox
from streams.agents.gaps import Expected, SeekAgain
from streams.agents.place import Placer
from streams.agents.publish import Publisher
from streams.decode import Record
from streams.errors import Unreachable
from streams.metrics import Metrics
from streams.pipeline import Outcome, Pipeline
from streams.settings import Settings

RETRY_FIRST_S = 0.05
RETRY_MOST_S = 2.0
FENCED_WAIT_S = 0.5
"""Wait after a refused commit, so that a worker which lost its partitions hears of it before it tries again."""

log = logging.getLogger(__name__)


class Abandoned(Exception):
    """The batch is not this worker's any more, or the worker stops."""


async def read_events(stream: Any, inbox: Inbox) -> None:
    """Put every chunk into the inbox; it is acked after its commit, not here."""
    async for event in stream.noack().events():
        await inbox.put(event)


class Processor:
    """Applies what the agent reads, one micro-batch after another."""

    def __init__(
        self,
        flow: Flow,
        inbox: Inbox,
        placer: Placer,
        pipeline: Pipeline,
        publisher: Publisher,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._flow = flow
        self._inbox = inbox
        self._placer = placer
        self._pipeline = pipeline
        self._publisher = publisher
        self._max_records = settings.batch_events
        self._metrics = metrics
        self._stopping = False
        self._unpublished: list[int] = []
        self._publishing: asyncio.Task[None] | None = None
        self.expected = Expected(placer.start_of, placer.end_of)
        self.last_record_s: dict[int, float] = {}
        """When (monotonic) the last record of each owned partition was taken, or the partition assigned."""

    def stop(self) -> None:
        """Make `run` return after the current batch."""
        self._stopping = True
        self._flow.wake.set()

    async def run(self) -> None:
        """Work until `stop`."""
        while not self._stopping:
            self._flow.wake.clear()
            try:
                if self._flow.moved:
                    await self._place()
                if self._publishing is not None and self._publishing.done():
                    await self._published()
                worked = await self._work()
            except Abandoned:
                continue
            except (SeekAgain, Unreachable):
                self._flow.move()
                continue
            if not worked and not self._flow.moved:
                await self._flow.wake.wait()
        with contextlib.suppress(Abandoned):
            await self._published()

    async def _place(self) -> None:
        flow_number = self._flow.number
        await self._give_up_publishing()
        self._unpublished = []
        placed = await self._insist(self._placer.place, flow_number)
        if placed is None:
            raise Abandoned
        now = time.monotonic()
        self.expected.place(placed.events)
        self.last_record_s = dict.fromkeys(placed.events, now)
        self._unpublished = sorted(placed.events)
        self._metrics.assigned(placed.events)

    async def _work(self) -> bool:
        """Republish what an earlier owner may not have, then apply one batch; False if there was nothing to do."""
        flow_number = self._flow.number
        while self._unpublished:
            await self._insist(self._republish, flow_number)
        events = self._inbox.take(flow_number, self._max_records)
        if not events:
            return False
        await self._apply(await self._records(events), events, flow_number)
        return True

    async def _republish(self) -> None:
        await self._publisher.publish(await self._pipeline.outbox(self._unpublished[-1]))
        self._unpublished.pop()

    async def _records(self, events: Sequence[Any]) -> dict[int, list[Record]]:
        """Return the records of these chunks that are next, by partition."""
        taken: dict[int, list[Record]] = {}
        now = time.monotonic()
        for event in events:
            partition = event.message.partition
            for r in await self.expected.follow(partition, event.message.records):
                record = Record(partition, r.offset, r.key, r.value, r.timestamp)
                taken.setdefault(partition, []).append(record)
            self.last_record_s[partition] = now
        return taken

    async def _apply(self, records: Mapping[int, Sequence[Record]], events: Sequence[Any], flow_number: int) -> None:
        """Run and commit until nothing is left of the batch, and begin to publish; then its events are acked."""
        rest, lost = records, dict(self.expected.lost)
        while rest:
            batch, started = rest, time.perf_counter()
            run = partial(self._pipeline.run, batch, lost, self._published)
            outcome: Outcome = await self._insist(run, flow_number)
            lost = {}
            self.expected.lost.clear()
            self._metrics.batch(batch, outcome, time.perf_counter() - started)
            rest = outcome.rest
            done = [] if rest or outcome.fenced else events
            self._publishing = asyncio.create_task(self._publish(outcome, done, flow_number))
            self._publishing.add_done_callback(lambda _: self._flow.wake.set())
            if outcome.fenced:
                await self._published()
                await self._fenced(outcome)
        if not records:
            await self._published()
            _ack(events)

    async def _publish(self, outcome: Outcome, done: Sequence[Any], flow_number: int) -> None:
        """Publish what a commit left, then ack the events that are done with it."""
        started = time.perf_counter()
        messages = [message for outbox in outcome.outbox.values() for message in outbox]
        await self._insist(partial(self._publisher.publish, messages), flow_number)
        self._metrics.published(time.perf_counter() - started)
        _ack(done)

    async def _published(self) -> None:
        """Wait until what the last commit left is published.

        Raises:
            Abandoned: it can't be any more.
        """
        publishing, self._publishing = self._publishing, None
        if publishing is not None:
            await publishing

    async def _give_up_publishing(self) -> None:
        """Stop publishing: what wasn't delivered is republished from the store, by whoever owns its partition now."""
        publishing, self._publishing = self._publishing, None
        if publishing is not None:
            publishing.cancel()
            (ended,) = await asyncio.gather(publishing, return_exceptions=True)
            if isinstance(ended, Exception) and not isinstance(ended, Abandoned):
                raise ended

    async def _fenced(self, outcome: Outcome) -> None:
        for partition, stored in outcome.fenced.items():
            offset = None if stored is None else stored.offset
            log.warning(
                "commit refused, reading on from what is stored", extra={"partition": partition, "offset": offset}
            )
        await asyncio.sleep(FENCED_WAIT_S)
        self._flow.move()
        raise Abandoned

    async def _insist(self, attempt: Callable[[], Awaitable[Any]], flow_number: int) -> Any:
        """Try until it succeeds, with back-off.

        Raises:
            Abandoned: partitions were taken away meanwhile, or the worker stops.
        """
        wait_s = RETRY_FIRST_S
        waiting = False
        while True:
            try:
                answer = await attempt()
            except (Unreachable, TimeoutError) as exc:
                if self._stopping or self._flow.number != flow_number:
                    raise Abandoned from exc
                if not waiting:
                    log.error("waiting, nothing is lost", extra={"reason": str(exc)})
                waiting = True
                self._metrics.waiting(True)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_MOST_S)
            else:
                if self._metrics.is_waiting:  # since now, or since an attempt that was abandoned
                    self._metrics.waiting(False)
                    log.info("going on")
                return answer


def _ack(events: Sequence[Any]) -> None:
    for event in events:
        event.ack()
