"""Child processes that can't be orphaned: started held, named to the guard, then let go.

Each child leads its own session, so a Ctrl-C in the terminal reaches only the supervisor, which ends the
others in order. Processes are ended by the ids of what was started here, never by name.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from streams.embedded import guard as guard_script

# What a server may see of our environment. Settings hold secrets, and no server here needs one.
_PASSED_ON = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ")
# The child waits for a word before it becomes the server: a supervisor killed in between leaves nothing.
_HELD = 'read -r word && [ "$word" = go ] && exec "$@" </dev/null'
_POLL_S = 0.01
# How long the kernel may take to end what was killed.
_KILLED_S = 5.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: arguments, the folder to run it in, and variables beyond the few that are passed on."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]


class Guard:
    """The supervisor's end of the guard process (see guard.py)."""

    def __init__(self, lock_fd: int) -> None:
        """Start it; `lock_fd` stays locked as long as it lives."""
        self._lock_fd = lock_fd
        self._groups: set[int] = set()
        self._prefixes: set[str] = set()
        self._process = self._start()

    @property
    def pid(self) -> int:
        """The guard's own process id."""
        return self._process.pid

    def add(self, group: int) -> None:
        """Have this process group ended with the supervisor."""
        self._groups.add(group)
        self._tell(f"+{group}")

    def discard(self, group: int) -> None:
        """Forget a group that has ended; its number may be reused."""
        self._groups.discard(group)
        self._tell(f"-{group}")

    def add_shared_memory(self, prefix: str) -> None:
        """Have shared memory of this prefix removed at the end."""
        self._prefixes.add(prefix)
        self._tell(f"shm {prefix}")

    def restored(self) -> bool:
        """Start another guard if this one was killed; tell whether that was so."""
        if self._process.poll() is None:
            return False
        self._close_pipe()
        self._process = self._start()
        for line in (*(f"+{group}" for group in self._groups), *(f"shm {p}" for p in self._prefixes)):
            self._tell(line)
        return True

    def close(self) -> None:
        """End the guard, and with it whatever is still on its list."""
        self._close_pipe()
        self._process.wait(timeout=guard_script.GRACE_S + 5)

    def _start(self) -> subprocess.Popen[bytes]:
        argv = (sys.executable, "-I", "-S", guard_script.__file__, str(os.getpid()))
        return subprocess.Popen(  # noqa: S603
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(self._lock_fd,),
            start_new_session=True,
            env=passed_on({}),
        )

    def _tell(self, line: str) -> None:
        pipe = self._process.stdin
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # it was killed; `restored` tells its successor
                pipe.write(f"{line}\n".encode())
                pipe.flush()

    def _close_pipe(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


class Child:
    """One running server and everything it forked, as one process group."""

    def __init__(self, command: Command, log: Path, guard: Guard) -> None:
        """Start it; what it prints is appended to `log`."""
        self._guard = guard
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                ("/bin/sh", "-c", _HELD, "sh", *command.argv),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=command.cwd,
                env=passed_on(command.env),
            )
        self.pid = self._process.pid
        guard.add(self.pid)
        with contextlib.suppress(BrokenPipeError):
            self._let_go()

    def _let_go(self) -> None:
        pipe = self._process.stdin
        if pipe is not None:
            pipe.write(b"go\n")
            pipe.close()

    def exited(self) -> bool:
        """Tell whether it has ended. It isn't reaped yet, so its id can't belong to anyone else."""
        if self._process.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # somebody else's SIGCHLD handler reaped it
            return True

    def terminate(self) -> None:
        """Ask the server to end; its own children end with it, or in `bury`."""
        if not self.exited():
            os.kill(self.pid, signal.SIGTERM)

    def bury(self) -> int:
        """Kill what is left of the group, wait for its end, and return the exit code (negative: a signal)."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        deadline = time.monotonic() + _KILLED_S
        while group(self.pid) and time.monotonic() < deadline:
            time.sleep(_POLL_S)  # a killed process that held much memory is gone a little later
        self._guard.discard(self.pid)
        return code


def end_all(children: Iterable[Child], grace_s: float) -> None:
    """End them all: ask, wait up to `grace_s` together, kill. A second Ctrl-C while waiting kills at once."""
    running = list(children)
    deadline = time.monotonic() + grace_s
    try:
        for child in running:
            child.terminate()
        while not all(child.exited() for child in running) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    finally:
        for child in running:
            child.bury()


def group(leader: int) -> list[int]:
    """Return the processes of a process group, those left out that only wait to be reaped."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of) == leader and state != "Z":
            found.append(int(stat.parent.name))
    return found


def passed_on(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the few variables that a child gets, and `extra`."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | dict(extra)
