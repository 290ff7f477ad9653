"""The last one out: a small process that ends the servers when their supervisor is gone, however it went.

Run as a script, with the standard library only. Its standard input is a pipe that only the supervisor holds:
`+PGID` and `-PGID` keep the list of process groups, `shm PREFIX` names shared memory to remove. When the pipe
closes, or the parent has changed (a forked child of the supervisor may hold the pipe open), each leader gets
SIGTERM, a bounded wait, and its whole group SIGKILL. It inherits the lock of the run folder, so the folder
stays locked until the servers are really gone. Unlike PR_SET_PDEATHSIG it isn't tied to a thread of the
supervisor, and it reaches grandchildren.
"""

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path

# How long servers may take to end by themselves. Longer: more time to flush, and a longer locked folder.
GRACE_S = 3.0
# Between two looks at the parent, and at whether the servers have ended.
PARENT_POLL_S = 0.5
END_POLL_S = 0.02
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (only names with our own prefix are touched)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc/self").exists()
    except (ProcessLookupError, PermissionError):
        return False


def end(groups: set[int], prefixes: set[str], grace_s: float = GRACE_S) -> None:
    """End every group, leader first and gently, then all of it, and remove the shared memory it left."""
    for leader in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(leader, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while any(map(_alive, groups)) and time.monotonic() < deadline:
        time.sleep(END_POLL_S)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for prefix in prefixes:
        remove_shared_memory(prefix)


def remove_shared_memory(prefix: str) -> None:
    """Remove what a killed Triton left behind; `prefix` is unique to one stack."""
    if SHARED_MEMORY.is_dir():
        for path in SHARED_MEMORY.glob(f"{prefix}*"):
            path.unlink(missing_ok=True)


class _Orders:
    """What the supervisor has said so far."""

    def __init__(self) -> None:
        self.groups: set[int] = set()
        self.prefixes: set[str] = set()
        self._rest = b""

    def read(self, timeout_s: float) -> bool:
        """Take in what comes within `timeout_s`; tell whether something came."""
        if not select.select([0], [], [], timeout_s)[0]:
            return False
        chunk = os.read(0, 65_536)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._obey(line.decode())
        return bool(chunk)

    def _obey(self, line: str) -> None:
        if line.startswith("shm "):
            self.prefixes.add(line[4:])
        elif line.startswith("+"):
            self.groups.add(int(line[1:]))
        else:
            self.groups.discard(int(line[1:]))


def main() -> None:
    """Keep the list until the supervisor is gone, then end what is on it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    parent, orders = int(sys.argv[1]), _Orders()
    while os.getppid() == parent:
        if not orders.read(PARENT_POLL_S) and select.select([0], [], [], 0)[0]:
            break  # readable, yet nothing came: the pipe is closed
    while orders.read(0):
        pass  # a supervisor that was killed early may have said more than was heard
    end(orders.groups, orders.prefixes)


if __name__ == "__main__":
    main()
