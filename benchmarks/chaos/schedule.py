"""One schedule: a stack of its own, a crew under load, faults drawn from a seed, and the verdict."""

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos import disk
from benchmarks.chaos.crew import crew
from benchmarks.chaos.faults import DISK_FULL, FAULTS
from benchmarks.chaos.field import RECOVER_S, Field, Stopwatch, Strike, supervised
from benchmarks.chaos.load import Load
from benchmarks.chaos.traffic import Traffic
from benchmarks.chaos.verdict import Verdict, verdict
from benchmarks.deployment import Deployment
from streams.contracts.topics import ITEMS
from streams.embedded.stack import Stack

WORKERS = 3
GAP_S = 1.0
"""Most time between the end of a fault and the next, when nobody waits for things to calm down."""
SETTLED_S = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What a schedule does: which faults, in which order, and how long it publishes at least."""

    seed: int
    faults: Sequence[str]
    events: int
    rate_per_s: float
    code: Path | None = None
    workers: int = WORKERS


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


def drawn(seed: int, faults: int, events: int, seconds: float) -> Plan:
    """Draw a schedule; `faults` consecutive seeds together have every kind about as often as any other."""
    deck = kinds()
    random.Random(0).shuffle(deck)
    hand = [deck[(seed * faults + n) % len(deck)] for n in range(faults)]
    random.Random(seed).shuffle(hand)
    return Plan(seed, hand, events, events / seconds)


def run(plan: Plan) -> Outcome:
    """Run a schedule to its verdict."""
    started_s = time.monotonic()
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="streamrank-chaos-")))
        run_dir = folder / "run"
        run_dir.mkdir()
        if DISK_FULL in plan.faults:
            closing.enter_context(disk.small(run_dir))
        stack = closing.enter_context(Stack(run_dir))
        deployment = closing.enter_context(Deployment(stack.addresses, folder))
        workers = closing.enter_context(crew(deployment, stack.addresses, run_dir, plan.workers, plan.code))
        load = Load(deployment, Traffic(plan.seed), plan.rate_per_s)
        field = Field(stack, deployment, workers, load, run_dir)
        deployment.publish(load.traffic.catalogue(), ITEMS)
        workers.start()
        found = _under_fire(field, plan)
        return Outcome(plan.seed, field.strikes, found, [*field.restarts, *workers.ends], time.monotonic() - started_s)


def _under_fire(field: Field, plan: Plan) -> Verdict:
    watch = Stopwatch(field)
    watch.start()
    with supervised(field):
        field.load.start()
        for strike in _strikes(field, plan, watch):
            field.strikes.append(strike)
        while field.load.sent < plan.events:
            time.sleep(SETTLED_S)
        watch.await_calm()  # while the load goes on, or nobody would ask Triton
        field.load.finish()
        settled = _settled(field, watch)
    watch.finish()
    field.crew.stop()
    found = asyncio.run(verdict(field.deployment.settings))
    found.broken += [*field.failures, *field.crew.failures, *field.load.failures]
    found.expect(
        settled, f"not all was applied {RECOVER_S:g} s after the last fault: {watch.applied} of {field.load.ends}"
    )
    late = [strike.kind for strike in field.strikes if strike.recovered_s is None]
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
    """Wait until all of the log is applied and no history is on its way between partitions."""
    deadline_s = time.monotonic() + RECOVER_S
    before: dict[int, int] = {}
    while time.monotonic() < deadline_s:
        ends, now = field.load.ends, watch.applied
        if now == before and all(now.get(p, 0) >= end for p, end in ends.items()):
            return True
        before = now
        time.sleep(SETTLED_S)
    return False
