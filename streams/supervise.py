"""A worker as a child process: started, awaited until it is ready, started again when it ends or hangs.

A worker that ends with a sentence (exit code 1 or 2) would only say it again, so that ends the supervision. One that
was ready before is another matter: it was started again while a server is away, and is tried until that is back.
"""

import contextlib
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path

from streams.embedded.process import Child, Command, Guard, end_all
from streams.embedded.server import free_port
from streams.errors import StackFailed

EXIT_SENTENCE = 1
EXIT_UNEXPECTED = 70
WAIT_FIRST_S = 0.5
WAIT_MOST_S = 30.0
CALM_S = 60.0
"""A worker that ran so long is started again without delay."""
STOP_S = 20.0
POLL_S = 0.1
LOOK_S = 5.0
"""How often a worker is asked whether it is alive. Once is not enough: one that was stopped goes on in a moment."""
ANSWER_S = 1.0


class SupervisedWorker:
    """One worker with these environment variables, whose log is `run_dir`/worker.log; a context manager."""

    def __init__(self, run_dir: Path, environment: Mapping[str, str], verb: str = "worker") -> None:
        """`verb` may be another one that answers for its health as a worker does; it names the log, too."""
        self.port = free_port()
        self.log = run_dir / f"{verb}.log"
        self._verb = verb
        self._environment = environment
        self._run_dir = run_dir
        self._lock_fd = os.open(run_dir / f"{verb}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._guard = Guard(self._lock_fd)
        self._child: Child | None = None
        self._wait_s = WAIT_FIRST_S
        self._started_s = 0.0
        self._due_s = 0.0
        self._look_s = 0.0
        self._hangs = False
        self._was_ready = False

    def __enter__(self) -> "SupervisedWorker":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._child is not None:
                end_all([self._child], STOP_S)
        finally:
            self._guard.close()
            os.close(self._lock_fd)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Start it; returns at once."""
        command = (sys.executable, "-m", "streams.cli", self._verb)
        self.port = free_port(self.port)  # somebody may have taken it while the worker was gone
        environment = {**self._environment, "STREAMRANK_METRICS_PORT": str(self.port)}
        self._started_s = time.monotonic()
        self._child = Child(Command(command, self._run_dir, environment), self.log, self._guard)

    def check(self) -> str | None:
        """Start it again if it ended unexpectedly, after a growing delay; kill it if it hangs; return what happened.

        Raises:
            StackFailed: it ended with a sentence, which is quoted, and never was ready; or it was told to end.
        """
        now = time.monotonic()
        if self._child is None:
            if now >= self._due_s:
                self.start()
            return None
        if not self._child.exited():
            return self._look(self._child.pid, now)
        code, self._child = self._child.bury(), None
        again = code < 0 or code == EXIT_UNEXPECTED or (code == EXIT_SENTENCE and self._was_ready)
        if not again:
            raise StackFailed(f"the {self._verb} ended with {code}: {self.last_words()}")
        if now - self._started_s > CALM_S:
            self._wait_s = WAIT_FIRST_S
        self._due_s = now + self._wait_s
        why = f": {self.last_words()}" if code == EXIT_SENTENCE else f"; see {self.log}"
        said = f"the {self._verb} ended with {code} and starts again in {self._wait_s:g} s{why}"
        self._wait_s = min(self._wait_s * 2, WAIT_MOST_S)
        return said

    def await_ready(self, timeout_s: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Return when it has its partitions; call `meanwhile` now and then.

        Raises:
            StackFailed: it ended with a sentence before it was ever ready, or isn't ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            meanwhile()
            self.check()
            if time.monotonic() > deadline:
                raise StackFailed(f"the {self._verb} is not ready after {timeout_s:g} s; see {self.log}")
            time.sleep(POLL_S)
        self._was_ready = True

    def is_ready(self) -> bool:
        """Tell whether it has its partitions and every server answers it."""
        return self._answer("/readyz") == HTTPStatus.OK

    def _look(self, pid: int, now_s: float) -> str | None:
        """Kill it if it says twice in a row that it hangs; one that says nothing may be starting, and is let be."""
        if now_s < self._look_s:
            return None
        self._look_s = now_s + LOOK_S
        hung, self._hangs = self._hangs, self._answer("/livez") == HTTPStatus.SERVICE_UNAVAILABLE
        if not (hung and self._hangs):
            return None
        self._hangs = False
        os.kill(pid, signal.SIGKILL)
        return f"the {self._verb} hangs and is killed; see {self.log}"

    def _answer(self, page: str) -> int:
        """Return the status that it answers with, 0 if it doesn't."""
        with contextlib.suppress(OSError):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{page}", timeout=ANSWER_S) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as exc:
                with exc:
                    return exc.code
        return 0

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = self.log.read_text("utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
