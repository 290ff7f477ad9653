"""What is measured beside a load: the memory of every process, and how long answers take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from benchmarks.chaos.field import Field, meanwhile
from benchmarks.chaos.verdict import slate_names
from benchmarks.memory import Memory
from benchmarks.paced import Reader
from benchmarks.report import percentile
from streams.contracts.topics import RECOMMENDATIONS

LOOK_S = 1.0


@dataclass(slots=True)
class Grown:
    """MiB of each kind of process, at the first look and at most."""

    first_mib: dict[str, float] = field(default_factory=dict)
    most_mib: dict[str, float] = field(default_factory=dict)

    def see(self, name: str, mib: float) -> None:
        """Take note of one look."""
        self.first_mib.setdefault(name, mib)
        self.most_mib[name] = max(self.most_mib.get(name, 0.0), mib)


@contextmanager
def memory(at: Field, grown: Grown) -> Iterator[None]:
    """Look at all processes now and then."""

    def look() -> None:
        pids = {member.name: member.worker.pid for member in at.crew.members} | dict(at.stack.pids)
        for name, pid in pids.items():
            if pid is not None and name != "guard":
                grown.see(name, Memory(pid).mib()[1])

    with meanwhile(look, LOOK_S):
        yield


@dataclass(slots=True)
class Waited:
    """How long answers took (ms, sorted), and the longest time (s) in which none came."""

    latencies_ms: list[float] = field(default_factory=list)
    gap_s: float = 0.0

    def p(self, share: float) -> float:
        """Return a percentile, 0 if nothing was answered."""
        return percentile(self.latencies_ms, share) if self.latencies_ms else 0.0


@contextmanager
def answers(at: Field, waited: Waited) -> Iterator[None]:
    """Take every answer with the time of its arrival."""
    reader = Reader(at.deployment.consumer(RECOMMENDATIONS), lambda value: slate_names(value).request_id or "")
    time.sleep(LOOK_S)
    try:
        yield
    finally:
        arrivals = reader.finish(0)
        asked_s = at.load.asked_s
        waited.latencies_ms = sorted((arrivals[i].at_s - s) * 1e3 for i, s in asked_s.items() if i in arrivals)
        came_s = sorted(arrival.at_s for arrival in arrivals.values())
        waited.gap_s = max((b - a for a, b in pairwise(came_s)), default=0.0)
