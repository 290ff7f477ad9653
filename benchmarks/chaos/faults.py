"""What is done to workers, servers and the network between them. Each fault begins and ends in here.

Clocks of processes are left alone (that would need a preloaded library): a clock that jumps is that of the producers.
"""

import contextlib
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.chaos.crew import SESSION_S, Member, signal_to
from benchmarks.chaos.field import Field
from benchmarks.chaos.proxy import Proxy
from benchmarks.chaos.rollout import SECOND, insist
from streams.contracts.topics import RECOMMENDATIONS
from streams.embedded.process import group

HOUR_MS = 3_600_000
DISK_FULL = "disk full"
RESTARTED = "worker restarted"
ROLLED_BACK = "triton: model promoted and rolled back"
COMMIT = b"EVALSHA"
"""What a commit contains on its way to Redis."""
HELD_S = 5.0
"""How long to wait for a commit, or a slate, that can be held."""
POLL_S = 0.005

Fault = Callable[[Field, random.Random], str]
"""Does it, and returns whom it hit."""
FAULTS: dict[str, Fault] = {}


def fault(kind: str) -> Callable[[Fault], Fault]:
    """Register a fault under its name; one about Triton begins with its name (see `field.Stopwatch`)."""

    def register(does: Fault) -> Fault:
        FAULTS[kind] = does
        return does

    return register


@fault("worker killed")
def _kill(at: Field, rng: random.Random) -> str:
    member = _somebody(at, rng)
    signal_to(member, signal.SIGKILL)
    return member.name


@fault(RESTARTED)
def _restart(at: Field, rng: random.Random) -> str:
    member = _somebody(at, rng)
    at.crew.restart(member)
    return member.name


@fault("worker stopped beyond its session")
def _stop(at: Field, rng: random.Random) -> str:
    return _paused(_somebody(at, rng), SESSION_S + rng.uniform(1, 2))


@fault("worker stopped for a moment")
def _pause(at: Field, rng: random.Random) -> str:
    return _paused(_somebody(at, rng), rng.uniform(0.2, SESSION_S / 3))


@fault("commit arrives after its worker's death")
def _late_commit(at: Field, rng: random.Random) -> str:
    member = _somebody(at, rng)
    proxy = member.proxies["redis"]
    proxy.hold(COMMIT)
    held = _await(lambda: proxy.held)
    signal_to(member, signal.SIGKILL)
    time.sleep(SESSION_S * 1.5 + rng.uniform(1, 2))  # time for others to take over
    proxy.release()
    return _holding(member, held)


@fault("worker killed before it published")
def _unpublished(at: Field, rng: random.Random) -> str:
    member = _somebody(at, rng)
    proxy = member.proxies["broker"]
    proxy.hold(at.deployment.settings.topic(RECOMMENDATIONS).encode())
    held = _await(lambda: proxy.held)
    signal_to(member, signal.SIGKILL)
    proxy.drop()
    return _holding(member, held)


def _way(
    server: str,
    begin: Callable[[Proxy, random.Random], object],
    end: Callable[[Proxy], object],
    least_s: float,
    most_s: float,
) -> Fault:
    """A fault on the way to a server, of one worker or of all at once."""

    def strike(at: Field, rng: random.Random) -> str:
        members = _some(at, rng)
        for member in members:
            begin(member.proxies[server], rng)
        time.sleep(rng.uniform(least_s, most_s))
        for member in members:
            end(member.proxies[server])
        return _names(members)

    return strike


def _reset(server: str) -> Fault:
    def reset(at: Field, rng: random.Random) -> str:
        members = _some(at, rng)
        for _ in range(rng.randint(1, 4)):
            for member in members:
                member.proxies[server].reset()
            time.sleep(rng.uniform(0.05, 0.5))
        return _names(members)

    return reset


for _server in ("redis", "broker", "triton"):
    FAULTS[f"{_server}: port closed"] = _way(_server, lambda proxy, _: proxy.close(), Proxy.open, 0.5, 4)
    FAULTS[f"{_server}: half-open"] = _way(_server, lambda proxy, _: proxy.hush(), Proxy.speak, 1, SESSION_S + 2)
    FAULTS[f"{_server}: slow"] = _way(
        _server, lambda proxy, rng: proxy.slow(rng.uniform(0.02, 0.3)), lambda proxy: proxy.slow(0.0), 1, 3
    )
    FAULTS[f"{_server}: connections reset"] = _reset(_server)
FAULTS["triton: answers garbage"] = _way("triton", lambda proxy, _: proxy.garble(), Proxy.clear, 1, 3)


def _killed(server: str, pid: str) -> Fault:
    def killed(at: Field, rng: random.Random) -> str:
        os.kill(at.stack.pids[pid], signal.SIGKILL)
        return server

    return killed


def _hangs(server: str, pid: str) -> Fault:
    def hangs(at: Field, rng: random.Random) -> str:
        process = at.stack.pids[pid]
        os.kill(process, signal.SIGSTOP)
        time.sleep(rng.uniform(0.5, 4))
        os.kill(process, signal.SIGCONT)
        return server

    return hangs


FAULTS["redis: killed"] = _killed("redis", "valkey")
FAULTS["triton: killed"] = _killed("triton", "triton")
FAULTS["redis: hangs"] = _hangs("redis", "valkey")
FAULTS["triton: hangs"] = _hangs("triton", "triton")
FAULTS["broker: hangs"] = _hangs("broker", "broker")


@fault("redis: full")
def _full(at: Field, rng: random.Random) -> str:
    with at.redis() as client:
        client.config_set("maxmemory", 1)
        time.sleep(rng.uniform(0.5, 3))
        client.config_set("maxmemory", 0)
    return "redis"


@fault("redis: read-only")
def _read_only(at: Field, rng: random.Random) -> str:
    with at.redis() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")  # nobody listens there, so nothing is copied
        time.sleep(rng.uniform(0.5, 3))
        client.execute_command("REPLICAOF", "NO", "ONE")
    return "redis"


@fault(DISK_FULL)
def _disk_full(at: Field, rng: random.Random) -> str:
    """Fill the file system of the run folder: Redis can't append to its log, nor workers to theirs."""
    filler = at.run_dir / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while free := shutil.disk_usage(at.run_dir).free:
            os.posix_fallocate(file.fileno(), file.tell(), free)
            file.seek(0, os.SEEK_END)
    time.sleep(rng.uniform(1, 4))
    filler.unlink()
    return "run folder"


@fault("triton: out of memory")
def _out_of_memory(at: Field, rng: random.Random) -> str:
    """Refuse the server and its models' processes any more memory than they hold."""
    limits: dict[int, tuple[int, int]] = {}
    for pid in group(at.stack.pids["triton"]):
        with contextlib.suppress(ProcessLookupError):  # that of an unloaded version has just ended
            limits[pid] = resource.prlimit(pid, resource.RLIMIT_AS)
            resource.prlimit(pid, resource.RLIMIT_AS, (1, limits[pid][1]))
    time.sleep(rng.uniform(1, 4))
    for pid, limit in limits.items():
        with contextlib.suppress(ProcessLookupError):  # it ended over it
            resource.prlimit(pid, resource.RLIMIT_AS, limit)
    return "triton" if limits else "triton, which was away"


@fault(ROLLED_BACK)
def _rolled_back(at: Field, rng: random.Random) -> str:
    insist(at.deployment.settings, lambda desk: desk.promote(SECOND))
    time.sleep(rng.uniform(0.5, 3))
    insist(at.deployment.settings, lambda desk: desk.roll_back(None))
    return "ranker"


@fault("producers' clocks jump")
def _clock(at: Field, rng: random.Random) -> str:
    at.load.traffic.shift_ms = round(rng.choice((-1, 1)) * rng.uniform(0.1, 20) * HOUR_MS)
    time.sleep(rng.uniform(0.5, 2))
    at.load.traffic.shift_ms = 0
    return "events"


@fault("flood")
def _flood(at: Field, rng: random.Random) -> str:
    at.load.burst(rng.randint(2_000, 6_000))
    time.sleep(0.5)
    return "events"


def _somebody(at: Field, rng: random.Random) -> Member:
    return rng.choice(at.crew.members)


def _some(at: Field, rng: random.Random) -> Sequence[Member]:
    """One worker, or all."""
    return at.crew.members if rng.random() < 0.4 else [_somebody(at, rng)]


def _names(members: Sequence[Member]) -> str:
    return members[0].name if len(members) == 1 else "all workers"


def _holding(member: Member, held: bool) -> str:
    """Name whom it hit, and say so if there was nothing to hold: then it was a plain kill."""
    return member.name if held else f"{member.name}, which held nothing"


def _paused(member: Member, wait_s: float) -> str:
    with _stopped(member):
        time.sleep(wait_s)
    return member.name


@contextlib.contextmanager
def _stopped(member: Member) -> Iterator[None]:
    signal_to(member, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_to(member, signal.SIGCONT)


def _await(condition: Callable[[], object]) -> bool:
    deadline_s = time.monotonic() + HELD_S
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    return bool(condition())
