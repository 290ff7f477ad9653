"""The demo on one page, once servers and a worker run: catalogue, history, stream, account."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from streams.contracts import topics
from streams.demo.account import Account, Bookkeeper
from streams.demo.board import Board
from streams.demo.journey import Basket, baskets, history
from streams.demo.listen import Listener
from streams.demo.loop import Loop
from streams.demo.publish import Publisher
from streams.demo.shopper import Shopper
from streams.demo.stream import Stream
from streams.demo.swap import Swap
from streams.demo.view import Phase, View
from streams.demo.warm_up import warm_up
from streams.errors import StackFailed
from streams.event_log import ITEMS, EventLog, find_file
from streams.replay import Counts, Replay
from streams.settings import Settings

K = 10
STALLED_S = 60.0
"""Nothing was applied for so long: the worker hangs."""
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """The arguments of a demo; `rate` is requests a second."""

    households: int
    weeks: int
    seed: int
    rate: float


@dataclass(frozen=True, slots=True)
class Told:
    """What happened, for the report. `acknowledged` counts the events that the broker took, by its own word."""

    account: Account
    acknowledged: int
    ingest_s: float
    ingested: int
    board: Board
    stream: Stream
    letters: int
    swap: Swap
    shopper: Shopper
    loop: Loop


class Story:
    """Tells it once: `load`, then `serve`; a context manager.

    Both take `meanwhile`, which is called while waiting and raises when a server or the worker failed.
    """

    def __init__(self, settings: Settings, folder: Path, plan: Plan, view: View, swap: Swap) -> None:
        self._swap = swap
        self._settings = settings
        self._folder = folder
        self._plan = plan
        self._view = view
        self._meanwhile: Callable[[], object] = lambda: None
        self._board = Board(K)
        self._shopper = Shopper(plan.seed)
        self._books = Bookkeeper(settings)
        self._ingested = 0
        self._ingest_s = 0.0

    def __enter__(self) -> "Story":
        self._books.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._books.__exit__(kind, error, trace)

    def load(self, meanwhile: Callable[[], object]) -> None:
        """Bring in the catalogue, and the history up to the cut.

        Raises:
            StreamrankError: a server failed, or nothing goes on any more.
        """
        self._meanwhile = meanwhile
        self._catalogue()
        self._history()

    def serve(self, meanwhile: Callable[[], object]) -> Told:
        """Stream what came after the cut.

        Raises:
            StreamrankError: a server failed, nothing goes on any more, or there is nothing to stream.
        """
        self._meanwhile = meanwhile
        coming = self._cut()
        publisher = Publisher(self._settings)
        with Listener(self._settings) as listener:
            with self._view.phase("warm-up") as phase:
                asked = warm_up(publisher, listener, meanwhile)
                phase.done(f"answers come swiftly, after {asked} requests")
            stream = Stream(publisher, listener, self._board, self._shopper, self._settings.partitions)
            with self._view.phase("stream") as phase:
                self._stream(stream, listener, coming, phase)
            account = self._settle(lambda _: None)
            loop = self._close()
            letters = len(listener.letters)
        acknowledged = self._ingested + publisher.acknowledged
        return Told(
            account=account,
            acknowledged=acknowledged,
            ingest_s=self._ingest_s,
            ingested=self._ingested,
            board=self._board,
            stream=stream,
            letters=letters,
            swap=self._swap,
            shopper=self._shopper,
            loop=loop,
        )

    def _catalogue(self) -> None:
        with self._view.phase("catalogue") as phase:
            log = EventLog(find_file(self._folder, ITEMS))
            published = self._replay(topics.ITEMS, log, phase)
            for _ in self._waiting():
                wanted, written = self._books.items_written()
                if phase.due():
                    phase.status({"published": f"{published:,}", "in Redis": f"{written:,}"})
                if written == wanted:
                    break
            phase.done(f"{published:,} items published and in Redis")

    def _history(self) -> None:
        with self._view.phase("history") as phase:
            began_s = time.monotonic()
            lines = ((number, raw) for number, raw, _ in history(self._folder))
            published = self._replay(topics.EVENTS, lines, phase)

            def show(account: Account) -> None:
                if phase.due():
                    phase.status({"published": f"{published:,}", "applied": f"{account.applied:,}"})

            account = self._settle(show)
            self._ingested, self._ingest_s = published, time.monotonic() - began_s
            rate = account.applied / self._ingest_s
            phase.done(f"{account.applied:,} events until 2017-11-01 applied, {rate:,.0f} a second")

    def _cut(self) -> list[Basket]:
        """Let the baselines learn the history too; return the baskets after it."""
        with self._view.phase("baselines") as phase:
            for number, _, line in history(self._folder):
                self._board.learn(line)
                if number % 1_000 == 0:
                    self._meanwhile()
            coming = baskets(self._folder, self._plan.weeks)
            phase.done(f"learned the same history; {len(coming):,} baskets follow in {self._plan.weeks} weeks")
        return coming

    def _stream(self, stream: Stream, listener: Listener, coming: list[Basket], phase: Phase) -> None:
        def show() -> None:
            self._meanwhile()
            self._swap.ended()
            if phase.due():
                phase.status(self._status(stream, listener, len(coming)))

        stream.run(coming, self._plan.rate, show, self._swap.begin)
        for _ in self._waiting():
            if self._swap.ended():
                break
        board = self._board
        elapsed_s = max(board.last_s - board.first_s, 1e-9)
        phase.done(
            f"{board.served:,} of {board.requested:,} requests answered, {board.served / elapsed_s:,.0f} a second; "
            f"the ranker was swapped in mid-stream"
        )

    def _status(self, stream: Stream, listener: Listener, total: int) -> dict[str, str]:
        board = self._board
        elapsed_s = max(time.perf_counter() - board.first_s, 1e-9)
        p50, p99 = np.percentile(board.latencies_ms[-1_000:] or [0.0], (50, 99))
        served_by = ", ".join(f"{name} {count:,}" for name, count in board.served_by.most_common())
        return {
            "requests": f"{board.requested:,} of {total:,}",
            "events/s": f"{stream.sent / elapsed_s:,.0f}",
            "slates/s": f"{board.served / elapsed_s:,.0f}",
            "latency": f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
            "slates with a hit": f"{board.hits / max(board.served, 1):.0%}",
            "model of a shopper": f"saw {self._shopper.seen:,}, clicked {self._shopper.clicks:,}",
            "by what was learned": f"{board.blended:,} slates, now by snapshot {board.snapshot:,}",
            "served by": served_by or "-",
            "dead letters": f"{len(listener.letters)} of {stream.malformed.total()} malformed",
        }

    def _replay(self, topic: str, lines: Any, phase: Phase) -> int:
        def told(counts: Counts) -> None:
            self._meanwhile()
            if phase.due():
                phase.status({"published": f"{counts.published:,}"})

        return Replay(self._settings, topic, on_progress=told).run(lines).published

    def _settle(self, show: Callable[[Account], None]) -> Account:
        """Wait until everything in `events` is applied; return the account."""
        moved_s, last = time.monotonic(), -1
        for _ in self._waiting():
            account = self._books.events()
            show(account)
            if account.settled:
                break
            if account.applied != last:
                moved_s, last = time.monotonic(), account.applied
            if time.monotonic() - moved_s > STALLED_S:
                raise StackFailed(f"nothing was applied for {STALLED_S:g} s: see worker.log in the run folder")
        return account

    def _close(self) -> Loop:
        """Wait until what the join wrote is on the topic and learned; return what became of the slates."""
        deadline_s = time.monotonic() + STALLED_S
        for _ in self._waiting():
            loop = self._books.loop()
            if loop.settled:
                break
            if time.monotonic() > deadline_s:
                raise StackFailed(
                    f"in {STALLED_S:g} s of the {loop.written:,} records that the join wrote {loop.records:,} came to "
                    f"{topics.FEEDBACK}, and the learner read {loop.learned.read:,}: see learner.log in the run folder"
                )
        return loop

    def _waiting(self) -> Iterator[None]:
        while True:
            self._meanwhile()
            yield
            time.sleep(_POLL_S)
