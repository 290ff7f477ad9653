"""The ranker is swapped in mid-stream, as an operator does it: published under the next number, then promoted.

The operator is a process of its own beside the worker. What is published are the files of the champion again: what is
shown is that no request is lost or waits, not a better model.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from streams.errors import StackFailed

ENDS_S = 60.0
"""An operator that takes longer hangs."""


class Swap:
    """One swap; a context manager that ends the operator with it. Times are of `time.perf_counter`, s."""

    def __init__(self, config: Path, source: Path) -> None:
        """`config` are the settings of the stack, `source` holds the version to publish, both in the run folder."""
        self.began_s = self.ended_s = 0.0
        self.versions = (0, 0)
        self._config = config
        self._source = source
        self._told = config.with_name("swap.json")
        self._log = config.with_name("swap.log")
        self._running: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Swap":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None and self._running.poll() is None:
            self._running.kill()
            self._running.wait()

    def begin(self) -> None:
        """Start the operator, and return at once."""
        self.began_s = time.perf_counter()
        self._log.unlink(missing_ok=True)
        self._run("publish", str(self._source))

    def ended(self) -> bool:
        """Take the next step if the last one has ended; tell whether all have.

        Raises:
            StackFailed: the operator failed, with what it said.
        """
        if self._running is None:
            return True
        code = self._running.poll()
        if code is None:
            if time.perf_counter() - self.began_s > ENDS_S:
                raise StackFailed(f"the swap of the ranker did not end within {ENDS_S:g} s: see {self._log}")
            return False
        if code != 0:
            said = self._log.read_text("utf-8", "replace").strip().rpartition("\n")[2]
            raise StackFailed(f"the swap of the ranker failed: {said}")
        self._step(json.loads(self._told.read_text("utf-8")))
        return self._running is None

    def _step(self, lineup: dict[str, Any]) -> None:
        newest = max(map(int, lineup["versions"]))
        if lineup["champion"] == newest:
            self.ended_s, self._running = time.perf_counter(), None
            return
        self.versions = (lineup["champion"], newest)
        self._run("promote", str(newest))

    def _run(self, *words: str) -> None:
        options = ("--config", str(self._config), "--json", str(self._told), "--who", "demo")
        command = [sys.executable, "-m", "streams.cli", "models", *words, *options]
        with self._log.open("ab") as output:
            self._running = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
