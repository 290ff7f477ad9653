"""The crew of a schedule: a worker that has just been killed can be restarted, too."""

from pathlib import Path
from typing import Any

from benchmarks.chaos.crew import Crew, Member


class Killed:
    """A supervised worker that isn't running; looking after it would start it and wait for its end."""

    pid = None
    started = 0

    def start(self) -> None:
        self.started += 1

    def check(self) -> None:
        raise AssertionError("nobody runs whose end could be awaited")


def test_a_worker_that_has_ended_is_started_and_its_end_not_awaited(tmp_path: Path) -> None:
    worker: Any = Killed()
    member = Member("worker-0", worker, {}, tmp_path, {})
    Crew([member]).restart(member)
    assert worker.started == 1
