"""Walks a log through the very pipeline that serves, point in time, and records the lists of the wanted steps.

Before each wanted step a `request` goes into the log, as a shop would send it. What retrieval and encoder made of it
then, with the state and the counters as they were, is one list. A history that an alias moves comes back right behind
it, as the broker would bring it.

Recording costs far more than folding, so several processes may share it: each walks the whole log, and records every
n-th shard. To the others' requests it gives a deadline that has passed: they are folded, not answered. So all see the
same log in the same batches, and a shard is the same bytes whoever records it.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from streams.contracts import events as ev
from streams.contracts.topics import EVENTS
from streams.contracts.wire import MIN_AT_MS
from streams.decode import Record
from streams.errors import StreamrankError
from streams.evaluation.log import Entry, signal
from streams.pipeline import Pipeline
from streams.simulate import records, run
from training.recording import Recorder
from training.splits import Wanted

BATCH_EVENTS = 500
"""Events between two refreshes of the counters: how stale they are in what is recorded, as in a busy worker's."""
SUFFIX = ".parquet"
Entries = Callable[[], Iterable[Entry]]
"""Gives the log that is learned from, each time anew."""
Tell = Callable[[int], None]


class WalkEnded(StreamrankError):
    """A process that walked the log ended unexpectedly, perhaps for lack of memory: use fewer `--processes`."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What there is to record: a log, a pipeline that has seen nothing but the catalogue, and the steps by number."""

    entries: Entries
    pipeline: Pipeline
    wanted: Mapping[int, Wanted]
    seed: int
    out: Path

    def record(self, processes: int, tell: Tell) -> Counter[str]:
        """Write all shards; return how many lists each of them has.

        Raises:
            StreamrankError: the log can't be read, a shard can't be written, or a process ended.
        """
        context = get_context("fork")  # a fork has log, plan and catalogue
        with ExitStack() as stack:
            pipes: list[Connection] = []
            for share in range(1, processes):
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=self._in_fork, args=(share, processes, theirs), daemon=True)
                process.start()
                theirs.close()
                stack.callback(_end, process)
                pipes.append(ours)
            lists = self._share(0, processes, tell)
            for pipe in pipes:
                lists += _said(pipe)
        return lists

    def _in_fork(self, share: int, processes: int, pipe: Connection) -> None:
        with suppress(BrokenPipeError, KeyboardInterrupt):  # the parent is gone, or ends us
            try:
                pipe.send(self._share(share, processes, lambda events: None))
            except StreamrankError as exc:
                pipe.send(exc)

    def _share(self, share: int, processes: int, tell: Tell) -> Counter[str]:
        """Record the shards of one process."""
        order = {shard: place for place, shard in enumerate(dict.fromkeys(one.shard for one in self.wanted.values()))}
        own = {number for number, one in self.wanted.items() if order[one.shard] % processes == share}
        recorder = Recorder(self.pipeline, {_request_id(number): self.wanted[number] for number in own}, self.seed)
        self.pipeline.recommender = recorder
        return asyncio.run(self._run(recorder, own, tell))

    async def _run(self, recorder: Recorder, own: set[int], tell: Tell) -> Counter[str]:
        lists, done, moved = Counter[str](), 0, deque[bytes]()
        log = records(_with_moved(self._with_requests(own), moved), 1)
        async for outcome in run(self.pipeline, log, partitions=1, batch_events=BATCH_EVENTS, ends=_is_alias):
            moved += (message.value for message in outcome.outbox.get(0, ()) if message.topic == EVENTS)
            done += outcome.stats.get("applied", 0)
            tell(done)
            for shard in recorder.waiting()[:-1]:  # steps come in the order of their shards
                lists[shard] = self._write(recorder, shard)
        for shard in recorder.waiting():
            lists[shard] = self._write(recorder, shard)
        return lists

    def _write(self, recorder: Recorder, shard: str) -> int:
        taken = recorder.take(shard)
        taken.save(self.out / f"{shard}{SUFFIX}")
        return len(taken)

    def _with_requests(self, own: set[int]) -> Iterator[bytes]:
        """Yield the log with a request before the first signal of each step; its own requests are left out."""
        number = 0
        for entry in self.entries():
            if signal(entry) is not None:
                if number in self.wanted:
                    step = self.wanted[number].step
                    request = ev.Request(
                        user_id=step.user_id, request_id=_request_id(number), at_ms=step.at_ms,
                        deadline_ms=None if number in own else MIN_AT_MS,
                    )  # fmt: skip
                    yield msgspec.json.encode(request)
                number += 1
            if not isinstance(entry.event, ev.Request):
                yield entry.raw


def _with_moved(lines: Iterator[bytes], moved: deque[bytes]) -> Iterator[bytes]:
    """Yield the log, at any time first what is in `moved`."""
    for line in lines:
        while moved:
            yield moved.popleft()
        yield line


def _is_alias(record: Record) -> bool:
    return isinstance(ev.decode_event(record.value or b""), ev.Alias)


def _request_id(number: int) -> str:
    return f"step-{number}"


def _said(pipe: Connection) -> Counter[str]:
    """Return what a process recorded."""
    try:
        said: Any = pipe.recv()
    except EOFError as exc:
        raise WalkEnded("a process that walked the log ended: is there memory for so many --processes?") from exc
    if isinstance(said, StreamrankError):
        raise said
    lists: Counter[str] = said
    return lists


def _end(process: Any) -> None:
    process.kill()
    process.join()
