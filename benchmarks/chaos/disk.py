"""A folder that can be filled: a small file system of its own in memory, which only root may make."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

SIZE = "256m"
"""Enough for the files of one schedule, and soon filled."""


@cache
def can_be_small() -> bool:
    """Tell whether this user may make a file system."""
    with tempfile.TemporaryDirectory() as folder:
        return _mounted(Path(folder)) and _ended(Path(folder))


@contextmanager
def small(folder: Path) -> Iterator[None]:
    """Put a small file system into a folder, for the length of the block.

    Raises:
        OSError: this user may not.
    """
    if not _mounted(folder):
        raise PermissionError(f"no file system can be mounted on {folder}")
    try:
        yield
    finally:
        _ended(folder)


def _mounted(folder: Path) -> bool:
    return _did("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "chaos", str(folder))


def _ended(folder: Path) -> bool:
    return _did("umount", "--lazy", str(folder))


def _did(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
