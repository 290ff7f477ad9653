"""A process that runs the stack is interrupted, twice, terminated or killed: its servers end with it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from streams.embedded.process import group
from streams.embedded.stack import Stack
from tests.support import running, shared_memory, wait_until

ROOT = Path(__file__).parents[2]
# Prints the process groups once everything is up, then watches until it is ended.
PROGRAM = """
import sys, threading
from pathlib import Path
from streams.embedded.stack import Stack
try:
    with Stack(Path(sys.argv[1]), Path(sys.argv[2])) as stack:
        print(*stack.pids.values(), flush=True)
        stack.watch(threading.Event())
except KeyboardInterrupt:
    sys.exit(130)
"""


@contextmanager
def supervised(run_dir: Path, models: Path) -> Iterator[tuple["subprocess.Popen[str]", set[int]]]:
    """Run a stack in a process of its own; yield it and every process that it started."""
    argv = (sys.executable, "-c", PROGRAM, str(run_dir), str(models))
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            leaders = [int(word) for word in program.stdout.readline().split()]
            assert len(leaders) == 4
            assert shared_memory(run_dir)
            yield program, {pid for leader in leaders for pid in group(leader)}
        finally:
            program.kill()


def assert_all_gone(pids: set[int], run_dir: Path) -> None:
    assert len(pids) >= 5
    wait_until(lambda: not any(map(running, pids)), 8, "the end of every server")
    assert not shared_memory(run_dir)


def test_ctrl_c_ends_everything_and_the_program_ends_by_itself(tmp_path: Path, models: Path) -> None:
    run_dir = tmp_path / "run"
    with supervised(run_dir, models) as (program, pids):
        program.send_signal(signal.SIGINT)
        assert program.wait(timeout=20) == 130
        assert not any(map(running, pids))
    assert_all_gone(pids, run_dir)


def test_an_impatient_second_ctrl_c_ends_everything_too(tmp_path: Path, models: Path) -> None:
    run_dir = tmp_path / "run"
    with supervised(run_dir, models) as (program, pids):
        program.send_signal(signal.SIGINT)
        wait_until(lambda: not (run_dir / "addresses.json").exists(), what="the stop to begin")
        program.send_signal(signal.SIGINT)
        program.wait(timeout=20)
    assert_all_gone(pids, run_dir)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_killed_supervisor_leaves_no_orphan_and_frees_the_folder(
    number: signal.Signals, tmp_path: Path, models: Path
) -> None:
    run_dir = tmp_path / "run"
    with supervised(run_dir, models) as (program, pids):
        program.send_signal(number)
        assert program.wait(timeout=20) == -number
    assert_all_gone(pids, run_dir)
    with Stack(run_dir, models) as stack:
        assert stack.check() == []


def test_a_supervisor_killed_while_it_starts_leaves_no_orphan(tmp_path: Path, models: Path) -> None:
    run_dir = tmp_path / "run"
    argv = (sys.executable, "-c", PROGRAM, str(run_dir), str(models))
    for log in ("valkey.log", "broker.log", "triton.log"):
        with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL) as program:
            wait_until((run_dir / log).exists, what=log)
            program.kill()
        wait_until(lambda: not working_in(run_dir), 8, "the end of every server")
        for path in run_dir.glob("*.log"):
            path.unlink()


# Starts one stubborn server with a child of its own, and says which process it is.
STUBBORN = """
import os, signal, sys
from pathlib import Path
from streams.embedded.process import Child, Command, Guard
folder = Path(sys.argv[1])
guard = Guard(os.open(folder / "lock", os.O_RDWR | os.O_CREAT))
server = "trap '' TERM; tail -f /dev/null & tail -f /dev/null"
print(Child(Command(("/bin/sh", "-c", server), folder, {}), folder / "log", guard).pid, flush=True)
signal.pause()
"""


def test_the_guard_ends_a_server_that_ignores_it_with_all_its_children(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", STUBBORN, str(tmp_path))
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        leader = int(program.stdout.readline())
        try:
            wait_until(lambda: len(group(leader)) == 3, what="the server's children")
            program.kill()
            wait_until(lambda: not any(map(running, group(leader))), 8, "the end of all of them")
        finally:
            program.kill()
            with suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)


FORKED = """
import os, signal, sys
from pathlib import Path
from streams.embedded.process import Child, Command, Guard
folder = Path(sys.argv[1])
guard = Guard(os.open(folder / "lock", os.O_RDWR | os.O_CREAT))
leader = Child(Command(("tail", "-f", "/dev/null"), folder, {}), folder / "log", guard).pid
forked = os.fork()
if forked:
    print(leader, forked, flush=True)
signal.pause()
"""


def test_a_fork_that_outlives_the_supervisor_keeps_no_server_alive(tmp_path: Path) -> None:
    """It holds the guard's pipe open, so the pipe alone would not tell that the supervisor is gone."""
    argv = (sys.executable, "-c", FORKED, str(tmp_path))
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        leader, forked = (int(word) for word in program.stdout.readline().split())
        try:
            program.kill()
            wait_until(lambda: not running(leader), 8, "the end of the server")
            assert running(forked)
        finally:
            program.kill()
            for pid in (forked, leader):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


KILLED_BEFORE_THE_GUARD_KNOWS = """
import os, signal, sys
from pathlib import Path
from streams.embedded.process import Child, Command, Guard
class Dying(Guard):
    def add(self, group):
        os.kill(os.getpid(), signal.SIGKILL)
folder = Path(sys.argv[1])
guard = Dying(os.open(folder / "lock", os.O_RDWR | os.O_CREAT))
Child(Command(("/bin/sh", "-c", "touch started; exec tail -f /dev/null"), folder, {}), folder / "log", guard)
"""


def test_a_server_that_the_guard_never_heard_of_never_starts(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", KILLED_BEFORE_THE_GUARD_KNOWS, str(tmp_path))
    assert subprocess.run(argv, cwd=ROOT, timeout=20, check=False).returncode == -signal.SIGKILL
    try:
        wait_until(lambda: not working_in(tmp_path), 8, "the end of what was held")
    finally:
        for pid in working_in(tmp_path):
            os.kill(pid, signal.SIGKILL)
    assert (tmp_path / "log").exists()
    assert not (tmp_path / "started").exists()


def working_in(run_dir: Path) -> list[int]:
    """Return the processes whose working folder lies in the run folder, as that of every server does."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink().is_relative_to(run_dir):
                found.append(int(link.parent.name))
        except OSError:
            continue
    return [pid for pid in found if running(pid) and pid != os.getpid()]
