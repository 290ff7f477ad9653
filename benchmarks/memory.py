"""What a server and the processes that it started hold of memory, as Linux counts it."""

from pathlib import Path
from typing import ClassVar

from streams.embedded.process import group


class Memory:
    """The memory of one process group; shared pages count once (PSS)."""

    NAMES: ClassVar = ("server alone", "server and its models' processes")

    def __init__(self, leader: int) -> None:
        self._leader = leader

    def mib(self) -> tuple[float, float]:
        """Return what the leader holds, and all of the group."""
        held = {pid: _pss_kib(pid) for pid in group(self._leader)}
        return held.get(self._leader, 0) / 1024, sum(held.values()) / 1024


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
