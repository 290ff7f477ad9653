"""The processes of a backfill: each reads the whole log and folds the partitions that are its own.

Reading a line and finding its partition costs a fraction of folding it, so the processes share nothing but Redis and
need no queue between them. They tell the parent how far they are; if it dies they end at their next word, and if one
of them dies the parent ends the others. Nothing of that harms: the next run goes on from what is committed.
"""

import gc
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import uvloop

from streams.backfill.fold import PartitionFold
from streams.backfill.histories import Histories
from streams.backfill.lines import Router
from streams.backfill.namespace import ROLE
from streams.contracts.partition import partition_of
from streams.contracts.topics import EVENTS
from streams.decode import Decoder
from streams.errors import BadEvent, StreamrankError
from streams.event_log import EventLog
from streams.settings import Settings
from streams.store.base import FeatureStore, Position
from streams.store.redis import RedisStore

WAITING_RECORDS = 4_000
"""Records of a process that are folded in one go: more make larger commits, and memory grows with them."""


class ProcessEnded(StreamrankError):
    """A process of the backfill ended unexpectedly: look at what it wrote, then run the backfill again."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one process folds: the partitions of `positions`, from these positions on."""

    log: Path
    settings: Settings
    positions: Mapping[int, Position]
    aliases: Sequence[tuple[str, str]]
    topic_id: str
    cached_users: int
    gc_thresholds: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Told:
    """What a process says now and then: records committed since the last time, and refused lines with the reason."""

    records: int
    rejects: Sequence[tuple[int, str]]


def fold_all(shares: Sequence[Share], on_told: Callable[[Told], None]) -> None:
    """Fold all shares, each in a process of its own.

    Raises:
        StreamrankError: of the first process that failed; the others are ended.
    """
    context = get_context("spawn")
    with ExitStack() as stack:
        processes: dict[Any, Any] = {}
        for share in shares:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(share, theirs), daemon=True)
            _start(process)
            theirs.close()
            stack.callback(_end, process)
            processes[ours] = process
        while processes:
            ready: list[Any] = wait(list(processes))
            for pipe in ready:
                try:
                    said = pipe.recv()
                except EOFError:
                    _check_end(processes.pop(pipe))
                    continue
                if isinstance(said, StreamrankError):
                    raise said
                on_told(said)


def _start(process: Any) -> None:
    """Start a process that is deaf to Ctrl-C from its first instruction: it goes to the parent, which ends it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)


def _end(process: Any) -> None:
    process.kill()
    process.join()


def _check_end(process: Any) -> None:
    process.join()
    if process.exitcode:
        raise ProcessEnded(f"a process of the backfill ended with {process.exitcode}: run the same command again")


def _work(share: Share, pipe: Connection) -> None:
    gc.set_threshold(*share.gc_thresholds)
    with suppress(BrokenPipeError):  # the parent is gone
        try:
            uvloop.run(_fold_into_redis(share, pipe.send))
        except StreamrankError as exc:
            pipe.send(exc)


async def _fold_into_redis(share: Share, tell: Callable[[Told], None]) -> None:
    store = RedisStore.from_settings(share.settings, role=ROLE)
    try:
        await fold_share(share, store, tell)
    finally:
        await store.close()


async def fold_share(share: Share, store: FeatureStore, tell: Callable[[Told], None]) -> None:
    """Read the whole log and fold a share of it.

    Raises:
        StreamrankError: the log can't be read, the store is away, or another process writes to it.
    """
    settings, partitions = share.settings, share.settings.partitions
    router, decoder = Router(share.log, partitions), Decoder(partitions, settings.max_future_ms)
    histories = Histories(
        share.aliases,
        lambda login: partition_of(login.encode(), partitions) in share.positions,
        router=router, decoder=decoder, partitions=partitions,
    )  # fmt: skip
    topic = (settings.topic(EVENTS), share.topic_id)
    own = PartitionFold(store, decoder, settings, topic, share.positions, share.cached_users)

    async def commit() -> None:
        records = own.waiting
        tell(Told(records, await own.commit()))

    for number, line in EventLog(share.log):
        try:
            routed = router.route(number, line)
        except BadEvent:
            continue  # the survey has told
        if routed is None:
            continue
        head, record = routed
        if record.partition in own:
            own.add(number, record)
        absorb = histories.follow(head.user_id, record)
        if absorb is not None and absorb.partition in own:
            own.add(number, absorb)
        if own.waiting >= WAITING_RECORDS:
            await commit()
    await commit()
