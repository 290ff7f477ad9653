"""What is done to workers, servers and the network between them. Each fault begins and ends in here.

Clocks of processes are left alone (that would need a preloaded library): a clock that jumps is that of the producers.
"""

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.chaos.crew import SESSION_S, Member, signal_to
from benchmarks.chaos.field import Field
from streams.contracts.topics import RECOMMENDATIONS

HOUR_MS = 3_600_000
DISK_FULL = "disk full"
RESTARTED = "worker restarted"
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
    _await(lambda: proxy.held)
    signal_to(member, signal.SIGKILL)
    time.sleep(SESSION_S * 1.5 + rng.uniform(1, 2))  # time for others to take over
    proxy.release()
    return member.name


@fault("worker killed before it published")
def _unpublished(at: Field, rng: random.Random) -> str:
    member = _somebody(at, rng)
    proxy = member.proxies["broker"]
    proxy.hold(at.deployment.settings.topic(RECOMMENDATIONS).encode())
    _await(lambda: proxy.held)
    signal_to(member, signal.SIGKILL)
    proxy.drop()
    return member.name


def _port_closed(server: str) -> Fault:
    def close(at: Field, rng: random.Random) -> str:
        members = _some(at, rng)
        for member in members:
            member.proxies[server].close()
        time.sleep(rng.uniform(0.5, 4))
        for member in members:
            member.proxies[server].open()
        return _names(members)

    return close


def _half_open(server: str) -> Fault:
    def hush(at: Field, rng: random.Random) -> str:
        members = _some(at, rng)
        for member in members:
            member.proxies[server].hush()
        time.sleep(rng.uniform(1, SESSION_S + 2))
        for member in members:
            member.proxies[server].speak()
        return _names(members)

    return hush


def _slow(server: str) -> Fault:
    def slow(at: Field, rng: random.Random) -> str:
        members = _some(at, rng)
        for member in members:
            member.proxies[server].slow(rng.uniform(0.02, 0.3))
        time.sleep(rng.uniform(1, 3))
        for member in members:
            member.proxies[server].slow(0.0)
        return _names(members)

    return slow


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
    FAULTS[f"{_server}: port closed"] = _port_closed(_server)
    FAULTS[f"{_server}: half-open"] = _half_open(_server)
    FAULTS[f"{_server}: slow"] = _slow(_server)
    FAULTS[f"{_server}: connections reset"] = _reset(_server)


@fault("triton: answers garbage")
def _garbage(at: Field, rng: random.Random) -> str:
    members = _some(at, rng)
    for member in members:
        member.proxies["triton"].garble()
    time.sleep(rng.uniform(1, 3))
    for member in members:
        member.proxies["triton"].clear()
    return _names(members)


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


def _await(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + HELD_S
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
