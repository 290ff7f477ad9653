"""Model folders as Triton reads them: how a version is put in place, loaded, awaited, and taken out again.

A repository is a folder of model folders: `ranker/config.pbtxt`, `ranker/<version>/model.onnx`. Nothing appears in it
half-written: a folder is copied under a temporary name on the same file system, written through to the disk, and
renamed. Versions that don't serve lie on the shelf, `.shelf/<model>/<version>`, from where a rename brings them back.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tritonclient.utils import InferenceServerException

from inference.triton_ranker import TritonAddress
from streams.errors import BadModel, Misuse, StreamrankError, Unreachable

# Between two questions whether a model is ready, and for the lock.
_POLL_S = 0.02
SHELF = ".shelf"
# How long another operator may keep the repository to itself: a large model, loaded twice.
LOCK_S = 300.0
_LATE = "StatusCode.DEADLINE_EXCEEDED"
# What gRPC says when the connection is the fault; a refusal of Triton's has another status.
_AWAY = ("StatusCode.UNAVAILABLE", "StatusCode.CANCELLED", "StatusCode.UNKNOWN")


class StillLoading(StreamrankError):
    """Triton takes longer than it may to load a model: look at its log; what it loads must not be touched."""


def versions(folder: Path) -> list[int]:
    """Return the versions in a model's folder, ascending."""
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal() and path.is_dir())


def install(source: Path, repository: Path, name: str | None = None) -> Path:
    """Copy folder `source` into `repository` (a repository, or a model's folder) and return where it lies.

    Takes the place of what had the name. Triton must not be loading that folder at the time.
    """
    target = repository / (name or source.name)
    temporary = repository / f".{target.name}.new"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    for path in (*temporary.rglob("*"), temporary):
        _write_through(path)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    _write_through(repository)
    return target


class ModelFolder:
    """One model in a repository on a file system: the versions that Triton is to serve, and those on the shelf.

    Every change is made inside `alone`, and Triton is told by `load` before the block ends, so that no folder changes
    while it is loaded.
    """

    def __init__(self, repository: Path, model: str) -> None:
        """Raise `Misuse` if the repository has no such model."""
        self.served = repository / model
        self.shelf = repository / SHELF / model
        if not (self.served / "config.pbtxt").is_file():
            raise Misuse(f"triton_repository: {repository} has no {model}/config.pbtxt, so Triton serves no such model")
        self.shelf.mkdir(parents=True, exist_ok=True)

    def where(self, version: int) -> Path | None:
        """Return the folder in which `<version>` lies, None if it is nowhere."""
        return next((folder for folder in (self.served, self.shelf) if (folder / str(version)).is_dir()), None)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other operators from changing the folder; raise `Unreachable` if one does for longer than `LOCK_S`."""
        deadline = time.monotonic() + LOCK_S
        with (self.shelf / ".lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as exc:
                    if time.monotonic() > deadline:
                        raise Unreachable(f"{self.served}: another command keeps it locked: wait for it") from exc
                    time.sleep(_POLL_S)
            yield

    def add(self, source: Path, version: int) -> None:
        """Copy a version's folder onto the shelf; nothing served changes."""
        install(source, self.shelf, str(version))

    def bring_in(self, version: int) -> None:
        """Put a version from the shelf among those that Triton serves from its next load on."""
        self._move(version, self.shelf, self.served)

    def take_out(self, version: int) -> None:
        """Put a version back on the shelf."""
        self._move(version, self.served, self.shelf)

    def discard(self, version: int) -> None:
        """Delete a version from the shelf."""
        shutil.rmtree(self.shelf / str(version), ignore_errors=True)

    def _move(self, version: int, source: Path, target: Path) -> None:
        shutil.rmtree(target / str(version), ignore_errors=True)
        (source / str(version)).rename(target / str(version))
        _write_through(source)
        _write_through(target)


def load(address: TritonAddress, model: str, timeout_s: float = 60.0) -> None:
    """Make Triton read the model's folder anew.

    Raises:
        BadModel: it refuses, with its reason. What it served before it still serves.
        Unreachable: it doesn't answer (any more).
        StillLoading: it hasn't done so within `timeout_s`.
    """
    client = address.sync_client()
    try:
        client.load_model(model, client_timeout=timeout_s)
    except InferenceServerException as exc:
        if exc.status() == _LATE:
            raise StillLoading(f"{model}: Triton still loads it after {timeout_s:g} s; look at its log") from exc
        if exc.status() in _AWAY:
            raise _unreachable(address) from exc
        raise BadModel(f"{model}: Triton refused to load it: {exc.message()}") from exc
    finally:
        client.close()


def await_ready(address: TritonAddress, model: str, version: int, timeout_s: float = 60.0) -> None:
    """Return when Triton serves the version; raise `BadModel` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not is_ready(address, model, version):
        if time.monotonic() > deadline:
            raise BadModel(f"{model}/{version}: not ready in Triton after {timeout_s:g} s")
        time.sleep(_POLL_S)


def is_ready(address: TritonAddress, model: str, version: int) -> bool:
    """Tell whether Triton serves the version now; no if it doesn't answer."""
    client = address.sync_client()
    try:
        return bool(client.is_model_ready(model, str(version), client_timeout=2.0))
    except InferenceServerException:
        return False
    finally:
        client.close()


def check_alive(address: TritonAddress, timeout_s: float = 5.0) -> None:
    """Raise `Unreachable` if Triton doesn't answer: then a fault says nothing about a model."""
    client = address.sync_client()
    try:
        client.is_server_live(client_timeout=timeout_s)
    except InferenceServerException as exc:
        raise _unreachable(address) from exc
    finally:
        client.close()


def _unreachable(address: TritonAddress) -> Unreachable:
    return Unreachable(f"Triton at {address.url} does not answer: start it, or correct triton_address")


def _write_through(path: Path) -> None:
    """Have the disk hold a file, or a folder's entries, before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
