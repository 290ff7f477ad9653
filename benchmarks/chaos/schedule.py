"""One schedule: a stack of its own, a crew under load, faults drawn from a seed, and the verdict."""

import asyncio
import math
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos import disk
from benchmarks.chaos.crew import SOURCES, WORKERS, crew
from benchmarks.chaos.faults import DISK_FULL, FAULTS, ROLLED_BACK
from benchmarks.chaos.field import RECOVER_S, Field, Stopwatch, Strike, supervised
from benchmarks.chaos.load import Load
from benchmarks.chaos.rollout import publish_second
from benchmarks.chaos.traffic import Traffic
from benchmarks.chaos.verdict import Verdict, verdict
from benchmarks.deployment import Deployment
from streams.contracts.topics import ITEMS
from streams.embedded.stack import Stack
from streams.errors import StreamrankError

GAP_S = 1.0
"""Most time between the end of a fault and the next, when nobody waits for things to calm down."""
SETTLED_S = 0.5
LOGS = Path("runs/chaos")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a schedule does: which faults, in which order, and how long it publishes at least."""

    seed: int
    faults: Sequence[str]
    events: int
    rate_per_s: float
    code: Path = SOURCES
    workers: int = WORKERS
    settings: Mapping[str, str] = field(default_factory=dict)
    traffic: type[Traffic] = Traffic


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    seed: int
    strikes: list[Strike]
    verdict: Verdict
    restarts: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0


def kinds() -> list[str]:
    """Return the faults that can be done here: a full disk needs a file system of its own."""
    return [kind for kind in FAULTS if kind != DISK_FULL or disk.can_be_small()]


def drawn(seed: int, faults: int, events: int, seconds: float, only: Sequence[str] = ()) -> Plan:
    """Draw a schedule; hands of consecutive seeds are dealt from one deck, so every kind comes about as often."""
    deck = list(only) or kinds()
    random.Random(0).shuffle(deck)
    hand = [deck[(seed * faults + n) % len(deck)] for n in range(faults)]
    random.Random(seed).shuffle(hand)
    return Plan(seed, hand, events, events / seconds)


def run(plan: Plan, beside: Callable[[Field], AbstractContextManager[object]] = nullcontext) -> Outcome:
    """Run a schedule to its verdict; `beside` is entered with the load, and left when all of it is applied.

    Of a schedule that broke something, what the processes said is kept in `runs/chaos`.
    """
    started_s = time.monotonic()
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="streamrank-chaos-")))
        run_dir = folder / "run"
        run_dir.mkdir()
        if DISK_FULL in plan.faults:
            closing.enter_context(disk.small(run_dir))
        stack = closing.enter_context(Stack(run_dir))
        deployment = closing.enter_context(Deployment(stack.addresses, folder))
        workers = closing.enter_context(
            crew(deployment, stack.addresses, run_dir, plan.workers, plan.code, plan.settings)
        )
        load = Load(deployment, plan.traffic(plan.seed), plan.rate_per_s)
        field = Field(stack, deployment, workers, load, run_dir)
        try:
            deployment.publish(load.traffic.catalogue(), ITEMS)
            if ROLLED_BACK in plan.faults:
                publish_second(deployment.settings)
            workers.start()
            found = _under_fire(field, plan, beside)
        except StreamrankError as exc:
            found = Verdict(broken=[str(exc)])
        if found.broken:
            _keep_logs(run_dir, LOGS / f"seed-{plan.seed}")
        return Outcome(plan.seed, field.strikes, found, [*field.restarts, *workers.ends], time.monotonic() - started_s)


def _keep_logs(run_dir: Path, place: Path) -> None:
    for log in run_dir.rglob("*.log"):
        copy = place / log.relative_to(run_dir)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, copy)


def _under_fire(field: Field, plan: Plan, beside: Callable[[Field], AbstractContextManager[object]]) -> Verdict:
    with Stopwatch(field) as watch, supervised(field), beside(field):
        field.load.start()
        for strike in _strikes(field, plan, watch):
            field.strikes.append(strike)
        while field.load.sent < plan.events:
            time.sleep(SETTLED_S)
        watch.await_calm()  # while the load goes on, or nobody would ask Triton
        field.load.finish()
        settled = _settled(field, watch)
    field.crew.stop()
    found = asyncio.run(verdict(field.deployment.settings))
    found.broken += [*field.crew.failures, *field.load.failures]
    found.expect(
        settled, f"nothing was applied for {RECOVER_S:g} s, and not all is: {watch.applied} of {field.load.ends}"
    )
    late = [s.kind for s in field.strikes if s.recovered_s is None or s.recovered_s > RECOVER_S]
    found.expect(not late, f"not made good in {RECOVER_S:g} s: {', '.join(late)}")
    return found


def _strikes(field: Field, plan: Plan, watch: Stopwatch) -> Iterator[Strike]:
    """Do one fault after the other; after some of them the next waits until all is calm, after others it doesn't."""
    rng = random.Random(plan.seed)
    for kind in plan.faults:
        time.sleep(rng.uniform(0.2, GAP_S))
        began_s = time.monotonic()
        strike = Strike(kind, FAULTS[kind](field, rng), 0.0)
        strike.lasted_s = time.monotonic() - began_s
        watch.watch(strike)
        yield strike
        if rng.random() < 0.5:
            watch.await_calm()


def _settled(field: Field, watch: Stopwatch) -> bool:
    """Wait until all of the log is applied and no history is on its way; False if RECOVER_S brings no more of it.

    Ticks of the workers lie behind the load's ends, and don't count.
    """
    moved_s, least = time.monotonic(), math.inf
    before: dict[int, int] = {}
    while time.monotonic() < moved_s + RECOVER_S:
        now = watch.applied
        left = sum(max(end - now.get(p, 0), 0) for p, end in field.load.ends.items())
        if left < least:
            moved_s, least = time.monotonic(), left
        if not left and now == before:
            return True
        before = now
        time.sleep(SETTLED_S)
    return False
