"""Writes a file or a folder whole or not at all: under a hidden name beside its place, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.errors import CannotWrite


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of `folder` at the end, and is gone if the block fails.

    Raises:
        CannotWrite: the operating system refused.
    """
    staged, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        yield staged
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        staged.rename(folder)
    except OSError as exc:
        raise _refused(folder, exc) from exc
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file; what was there before stays until all of the new one is on disk.

    Raises:
        CannotWrite: the operating system refused.
    """
    staged = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        staged.rename(path)
    except OSError as exc:
        staged.unlink(missing_ok=True)
        raise _refused(path, exc) from exc


def _refused(path: Path, exc: OSError) -> CannotWrite:
    return CannotWrite(f"{path}: cannot be written: {exc.strerror or exc}: make room, or name another folder")
