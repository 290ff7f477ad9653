"""The worker: a process that reads `events` and `items`, keeps the state, and publishes slates.

Order of start: the servers are checked (so that a wrong address is one sentence), the pipeline loads catalogue and
counters, then Faust joins the group. On SIGTERM or SIGINT it ends the current batch, commits, leaves the group and
returns. Whatever is unexpected ends the process at once with code 70: state is safe at any instruction, and a
supervisor starts it anew.
"""

import asyncio
import contextlib
import inspect
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import uvloop
from aiokafka.errors import KafkaError
from faust.types import TP

from inference.breaker import CircuitBreaker, GuardedRanker
from inference.triton_encoder import TritonEncoder
from inference.triton_ranker import TritonRanker
from streams.agents.app import App
from streams.agents.catalogue import Cataloguer, follow_changes, read_items
from streams.agents.connections import lose_reset_connections
from streams.agents.encode import TextReader
from streams.agents.flow import Inbox
from streams.agents.place import Placer
from streams.agents.process import Processor, read_events
from streams.agents.publish import Publisher
from streams.agents.tick import publish_ticks
from streams.checks import champion, check_redis, check_triton, triton_address
from streams.contracts.topics import EVENTS, ITEMS
from streams.errors import StreamrankError
from streams.features.meaning import Meanings
from streams.health import health
from streams.kafka_admin import check_topics
from streams.metrics import Metrics
from streams.online.follow import FollowedScorer
from streams.online.versions import Versions
from streams.pipeline import Pipeline
from streams.rollout.follow import FollowedRanker, follow
from streams.rollout.pointer import Pointer
from streams.settings import Settings
from streams.store.base import FeatureStore
from streams.store.connection import connect
from streams.store.redis import RedisStore

EXIT_UNEXPECTED = 70
SWITCH_S = 0.0005
"""How long a thread may keep the interpreter when another wants it: the one that reads Kafka, and the one that ranks.
Python's own 5 ms are longer than a slate takes."""
CANCEL_S = 1.0
"""How long tasks may take to end once cancelled, before the connections are closed under them."""
FINISH_S = 4.0
"""How long the current batch may take after SIGTERM."""
WATCH_S = 1.0
"""How often the Kafka clients are looked at."""
LEAVE_S = 9.0
"""How long the last batch and Faust's farewell may take in all; after it the process goes without one."""

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; anything unexpected ends the process.

    Raises:
        StreamrankError: a server is away at the start, or the state doesn't fit the log.
    """
    sys.setswitchinterval(SWITCH_S)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    lose_reset_connections()
    try:
        asyncio.run(_serve(settings))
    except StreamrankError:
        raise
    except Exception as exc:
        _end_at_once(exc)


def _end_at_once(exc: BaseException) -> NoReturn:
    log.critical("ending at once, unexpected error", exc_info=exc)
    os._exit(EXIT_UNEXPECTED)


def _leave_in_time(exit_code: int) -> None:
    """End the process by force if it hasn't ended in LEAVE_S. A thread: mode joins its threads without a limit."""

    def force() -> None:
        log.warning("left without a farewell, partitions move when the session times out")
        os._exit(exit_code)

    timer = threading.Timer(LEAVE_S, force)
    timer.daemon = True
    timer.start()


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    states = await asyncio.to_thread(check_topics, settings)
    await check_redis(settings)
    version = await champion(settings)
    await check_triton(settings, version)
    ids = {name: states[name].topic_id for name in (settings.topic(EVENTS), settings.topic(ITEMS))}
    store = RedisStore.from_settings(settings, role="worker")
    redis = connect(settings)
    triton = TritonRanker(triton_address(settings), version, settings.triton_model)
    ranker = FollowedRanker(partial(_guarded, triton), version)
    encoder = _encoder(settings)
    meanings = None if encoder is None else Meanings(encoder.identity)
    online = FollowedScorer(Versions(redis, settings.key_prefix, settings.triton_model))
    pipeline = Pipeline(
        store, ranker, settings, clock=_wall_clock_ms, topic_ids=ids, meanings=meanings, route=ranker.route,
        scorer=lambda: online.scorer,
    )  # fmt: skip
    try:
        await pipeline.start()
        with tempfile.TemporaryDirectory(prefix="streamrank-") as datadir:
            worker = Worker(settings, store, pipeline, ids, Path(datadir), _leave_in_time)
            pointer = Pointer(redis, settings.key_prefix, settings.triton_model)
            worker.add_job(follow(pointer, ranker))
            worker.add_job(ranker.shadowing.run(pointer))
            if settings.online:
                worker.add_job(online.run())
            if encoder is not None and meanings is not None:
                worker.add_job(TextReader(encoder, meanings, store, settings, lambda: pipeline.watermarks).run())
            await worker.work(stop)
    finally:
        await triton.close()
        if encoder is not None:
            await encoder.close()
        await store.close()
        await redis.close()


def _guarded(triton: TritonRanker, version: int) -> GuardedRanker:
    """Return a version behind a breaker of its own: what another version did is not held against it."""
    return GuardedRanker(triton.at(version), CircuitBreaker(time.monotonic))


def _encoder(settings: Settings) -> TritonEncoder | None:
    if settings.encoder is None:
        return None
    return TritonEncoder(triton_address(settings), settings.encoder, settings.encoder_version)


def _wall_clock_ms(_: int) -> int:
    return int(time.time() * 1000)


class Worker:
    """The Faust app and the tasks around one pipeline, wired; `work` may be called once."""

    def __init__(
        self,
        settings: Settings,
        store: FeatureStore,
        pipeline: Pipeline,
        ids: Mapping[str, str],
        datadir: Path,
        on_leaving: Callable[[int], None] = lambda exit_code: None,
    ) -> None:
        """`on_leaving` is called with the exit code to be when the worker begins to leave."""
        self._on_leaving = on_leaving
        self.metrics = Metrics()
        self._settings = settings
        self._events = settings.topic(EVENTS)
        self._app = app = App(settings, datadir)
        self._publisher = publisher = Publisher(settings)
        events, items = Inbox(app.flow.wake), Inbox(asyncio.Event())
        placer = Placer(lambda: app.consumer, pipeline, store, settings, ids)
        self._processor = Processor(app.flow, events, placer, pipeline, publisher, settings, self.metrics)
        self._cataloguer = Cataloguer(app.flow, items, store, publisher, ids, self.metrics)
        self._add_agent(EVENTS, lambda stream: read_events(stream, events))
        self._add_agent(ITEMS, lambda stream: read_items(stream, items))
        self._jobs: list[Coroutine[Any, Any, None]] = [
            self._processor.run(),
            self._cataloguer.run(),
            publish_ticks(self._processor, pipeline, publisher, settings),
        ]
        if settings.snapshot_every_events is None:
            self._jobs.append(follow_changes(pipeline, settings))

    def _add_agent(self, topic: str, read: Any) -> None:
        channel = self._app.topic(self._settings.topic(topic), key_type=bytes, value_type=bytes)
        self._app.agent(channel, name=topic, concurrency=1)(read)

    def add_job(self, job: Coroutine[Any, Any, None]) -> None:
        """Add what is to run beside the pipeline until the worker leaves; call it before `work`."""
        self._jobs.append(job)

    async def work(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then leave in order.

        Raises:
            StreamrankError: the state doesn't fit the log.
        """
        try:
            await self._work(stop)
        finally:
            for job in self._jobs:
                if inspect.getcoroutinestate(job) == inspect.CORO_CREATED:
                    job.close()  # or Python would have the last word, about what nobody awaited

    async def _work(self, stop: asyncio.Event) -> None:
        self.metrics.watch_lag(self.lags)
        with health(self._settings.metrics_port, self.metrics, self.lags):
            await self._publisher.start()
            jobs = (*self._jobs, self._watch_app(), self._watch_clients(), stop.wait())
            tasks = [asyncio.create_task(job) for job in jobs]
            starting = asyncio.create_task(self._app.start())
            ended, _ = await asyncio.wait([*tasks, starting], return_when=asyncio.FIRST_COMPLETED)
            if ended == {starting} and starting.exception() is None:
                ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            failures: list[StreamrankError] = []
            for exc in (task.exception() for task in ended):
                if isinstance(exc, StreamrankError):
                    failures.append(exc)
                elif exc is not None:
                    _end_at_once(exc)
            self._on_leaving(max((exc.exit_code for exc in failures), default=0))
            # The sentence that ends the process comes last, and not at all if it is ended by force.
            log.info("stopping", extra={"because": "; ".join(map(str, failures)) or "asked to"})
            await self._leave(tasks[:2], [*tasks[2:], starting])
            for failure in failures:
                raise failure

    async def _watch_app(self) -> None:
        await self._app._crashed.wait()  # noqa: SLF001  mode tells nobody else
        raise RuntimeError("Faust crashed") from self._app.crash_reason

    async def _watch_clients(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            self._app.consumer.check()
            self._publisher.check()

    async def _leave(self, workers: list[asyncio.Task[Any]], others: list[asyncio.Task[Any]]) -> None:
        self._processor.stop()
        self._cataloguer.stop()
        await asyncio.wait(workers, timeout=FINISH_S)
        tasks = (*workers, *others)
        for task in tasks:
            task.cancel()
        ended, _ = await asyncio.wait(tasks, timeout=CANCEL_S)
        for task in ended:  # what was cut off in the middle has nothing to say
            if not task.cancelled():
                task.exception()
        await self._app.stop()
        await self._publisher.stop()

    def lags(self) -> dict[int, int]:
        """Return how many records of each owned partition of `events` wait, as far as is known."""
        found: dict[int, int] = {}
        for partition, at in dict(self._processor.expected.offsets).items():
            with contextlib.suppress(KafkaError, AssertionError):
                found[partition] = self._app.consumer.lag(TP(self._events, partition), at)
        return found
