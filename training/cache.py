"""Where data sets are kept from one training to the next: a folder each, named by the hash of all that shaped it.

A folder appears under its name when it is whole: it is made under a temporary name, and renamed. One training makes
data sets in a place at a time; another waits, and finds what that one made. Nothing is ever removed but what was
left unfinished: delete the place, or a folder in it, when no training runs.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streams.errors import Misuse

_ROOT = Path(__file__).resolve().parents[1]
_WALKED = (
    "cache",
    "clean",
    "dataset",
    "lesson",
    "lists",
    "periods",
    "recording",
    "sequences",
    "shards",
    "splits",
    "steps",
    "walk",
)
"""Modules of `training` that shape a list; of `streams` and the tensor contract all do, or may one day."""


def key_of(facts: Mapping[str, Any]) -> str:
    """Return the name of what these facts, and this code, make."""
    told = json.dumps({"facts": facts, "code": _code_sha256()}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def kept(place: Path, key: str, make: Callable[[Path], None], waiting: Callable[[], None]) -> Path:
    """Return the folder of a key; `make` fills it if it isn't there. `waiting` is told if another training is at it.

    Raises:
        Misuse: the place can't be written to; nothing is left of it that looks whole.
    """
    folder = place / key
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _locked(place, waiting):
            for unfinished in place.glob(f".{'[0-9a-f]' * len(key)}.new"):
                shutil.rmtree(unfinished)
            if not folder.exists():
                staged = place / f".{key}.new"
                staged.mkdir()
                make(staged)
                staged.rename(folder)
    except OSError as exc:
        raise Misuse(f"{place}: cannot keep a data set here: {exc.strerror or exc}") from exc
    return folder


@contextmanager
def _locked(place: Path, waiting: Callable[[], None]) -> Iterator[None]:
    handle = os.open(place, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _code_sha256() -> str:
    """Hash all code that may shape a list, so that nobody has to remember to raise a version."""
    own = (_ROOT / "training" / f"{name}.py" for name in _WALKED)
    digest = hashlib.sha256()
    for path in sorted((*(_ROOT / "streams").rglob("*.py"), _ROOT / "inference" / "tensors.py", *own)):
        digest.update(f"{path.relative_to(_ROOT)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
