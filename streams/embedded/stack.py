"""The whole embedded stack as one thing that starts, is watched, and ends.

    with Stack(Path("runs/demo")) as stack:
        print(stack.addresses.kafka)
        stack.watch(stop)

Invariant: no server outlives its supervisor. Leaving the block ends them in order; a supervisor that is
killed leaves that to the guard. `addresses.json` in the run folder tells other terminals where the servers
are, and a lock there keeps a second stack out.
"""

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from streams.embedded.broker import Broker
from streams.embedded.process import Guard, end_all
from streams.embedded.server import Server
from streams.embedded.triton import Triton
from streams.embedded.valkey import Valkey
from streams.errors import StackBusy, StackFailed, StreamrankError, Unreachable
from streams.settings import SHIPPED_MODELS

log = logging.getLogger(__name__)

# A server that crashed this often in this time is not started again.
MOST_RESTARTS = 5
RESTARTS_WITHIN_S = 60.0
# How often a running server is asked for a sign of life, how long it may take, and how many it may miss.
PING_EVERY_S = 5.0
PING_TIMEOUT_S = 5.0
MOST_MISSED = 3
# How long servers may take to end. Triton unloads its models in about 2 s.
STOP_GRACE_S = 6.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers answer, and the model repository that Triton serves from."""

    kafka: str  # host:port
    redis_url: str
    triton: str  # host:port, gRPC
    repository: str


@dataclass(frozen=True, slots=True)
class Restart:
    """A server that ended, or hung, and was started again on its old port."""

    name: str
    because: str
    lost: str


class Stack:
    """Broker, Valkey and Triton in one run folder. Methods may be called from any thread, one at a time."""

    def __init__(self, run_dir: Path, models: Path = SHIPPED_MODELS, start_timeout_s: float = 60.0) -> None:
        """Nothing starts yet. `models` is the source that the served repository is copied from."""
        self.run_dir = run_dir.absolute()
        self._models = models
        self._start_timeout_s = start_timeout_s
        self._servers: tuple[Server, ...] = ()
        self._guard: Guard | None = None
        self._lock_fd: int | None = None
        self._stopping = threading.Event()
        self._one_at_a_time = threading.RLock()
        self._crashes: dict[str, deque[float]] = {}
        self._missed: dict[str, int] = {}
        self._next_ping_s = 0.0
        self._addresses: Addresses | None = None

    @property
    def addresses(self) -> Addresses:
        """Where the servers are; only while the stack runs."""
        if self._addresses is None:
            raise StackFailed(f"the stack in {self.run_dir} is not running")
        return self._addresses

    @property
    def pids(self) -> dict[str, int]:
        """The process of each running server, by name, and of the guard."""
        running = {server.name: server.child.pid for server in self._servers if server.child is not None}
        return running | ({"guard": self._guard.pid} if self._guard is not None else {})

    def start(self) -> Addresses:
        """Start all three and return when each serves; on any failure, or Ctrl-C, nothing stays running."""
        try:
            with self._one_at_a_time:
                return self._start()
        except BaseException:
            self.stop()
            raise

    def check(self) -> list[Restart]:
        """Look after the servers once: start those again that ended or hang, and say so.

        Raises `StackFailed`, with everything stopped, when one keeps crashing.
        """
        try:
            with self._one_at_a_time:
                if self._stopping.is_set() or self._guard is None:
                    return []
                if self._guard.restored():
                    log.error("guard was killed, another one started")
                return [self._restart(server, because) for server, because in self._failed()]
        except BaseException:
            self.stop()
            raise

    def watch(self, stop: threading.Event, every_s: float = 0.2) -> None:
        """Check until `stop` is set."""
        while not stop.wait(every_s):
            self.check()

    def stop(self) -> None:
        """End everything that was started; harmless when repeated. A second Ctrl-C only makes it ruder."""
        self._stopping.set()
        with self._one_at_a_time:
            with contextlib.suppress(FileNotFoundError):
                (self.run_dir / "addresses.json").unlink() if self._addresses else None
            self._addresses = None
            try:
                end_all([server.child for server in self._servers if server.child is not None], STOP_GRACE_S)
            finally:
                self._servers = ()
                if self._guard is not None:
                    self._guard.close()
                    self._guard = None
                if self._lock_fd is not None:
                    os.close(self._lock_fd)
                    self._lock_fd = None

    def __enter__(self) -> "Stack":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> Addresses:
        if self._guard is not None:
            raise StackBusy(f"this stack already runs in {self.run_dir}")
        self._stopping.clear()
        self.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_fd = _locked(self.run_dir)
        self._guard = Guard(self._lock_fd)
        broker = Broker(self.run_dir, self._guard)
        valkey = Valkey(self.run_dir, self._guard)
        triton = Triton(self.run_dir, self._guard, self._models)
        self._servers = (valkey, broker, triton)
        began = time.monotonic()
        for server in self._servers:
            server.launch()
        for server in self._servers:
            server.await_ready(self._start_timeout_s)
        elapsed_ms = round((time.monotonic() - began) * 1e3)
        self._addresses = Addresses(broker.address, valkey.url, triton.address, str(triton.repository))
        _write(self.run_dir, self._addresses)
        log.info("embedded stack started", extra={"run_dir": str(self.run_dir), "elapsed_ms": elapsed_ms})
        return self._addresses

    def _failed(self) -> list[tuple[Server, str]]:
        failed = [(server, "it ended") for server in self._servers if server.exited()]
        if not failed and time.monotonic() >= self._next_ping_s:
            failed = [(server, "it does not answer") for server in self._servers if self._hangs(server)]
            self._next_ping_s = time.monotonic() + PING_EVERY_S
        return failed

    def _hangs(self, server: Server) -> bool:
        alive = server.answers(PING_TIMEOUT_S)
        self._missed[server.name] = 0 if alive else self._missed.get(server.name, 0) + 1
        return self._missed[server.name] >= MOST_MISSED

    def _restart(self, server: Server, because: str) -> Restart:
        """Start it again, and again if it fails at that: what it loads may be changing at this moment."""
        code = server.bury()
        self._missed[server.name] = 0
        fields = {"server": server.name, "because": because, "exit_code": code, "lost": server.loses}
        log.error("server failed, restarting", extra=fields)
        failure = StackFailed(f"{server.name} keeps crashing (last exit code {code}); see {server.log}")
        while True:
            self._await_turn(server.name, failure)
            try:
                server.launch()
                server.await_ready(self._start_timeout_s)
                break
            except (StreamrankError, OSError) as exc:
                server.bury()
                failure = StackFailed(f"{server.name} does not start again: {exc}")
                log.error("server failed while it was started again", extra=fields | {"error": str(exc)})
        log.warning("server restarted", extra=fields)
        return Restart(server.name, f"{because} (exit code {code})", server.loses)

    def _await_turn(self, name: str, failure: StackFailed) -> None:
        """Count a crash and wait a little longer after each; raise `failure` after too many, or when all is to end."""
        crashes = self._crashes.setdefault(name, deque(maxlen=MOST_RESTARTS))
        now = time.monotonic()
        if len(crashes) == MOST_RESTARTS and now - crashes[0] < RESTARTS_WITHIN_S:
            raise failure
        recent = sum(now - crash < RESTARTS_WITHIN_S for crash in crashes)
        crashes.append(now)
        if self._stopping.wait(0.1 * 2**recent if recent else 0):
            raise failure


def read_addresses(run_dir: Path) -> Addresses:
    """Return where the stack in `run_dir` answers; raise `Unreachable` if none runs there."""
    path = run_dir / "addresses.json"
    try:
        content = json.loads(path.read_bytes())
        os.kill(content.pop("pid"), 0)
        return Addresses(**content)
    except (FileNotFoundError, ProcessLookupError) as exc:
        raise Unreachable(f"no embedded stack runs in {run_dir}: start one with `streamrank up`") from exc
    except PermissionError:
        return Addresses(**content)


def _locked(run_dir: Path) -> int:
    descriptor = os.open(run_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise StackBusy(f"another embedded stack runs in {run_dir}: stop it, or name another folder") from exc
    return descriptor


def _write(run_dir: Path, addresses: Addresses) -> None:
    temporary = run_dir / ".addresses.json.new"
    temporary.write_text(json.dumps({**asdict(addresses), "pid": os.getpid()}, indent=1))
    temporary.rename(run_dir / "addresses.json")
