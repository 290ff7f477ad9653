"""The embedded stack, started once a test run: a real broker, Valkey and Triton. What is missing fails."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from streams.embedded.stack import Stack
from streams.settings import SHIPPED_MODELS
from tests.support import write_tiny_ranker


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Where the servers of this test run answer. Use your own topics, groups and key prefixes on them."""

    kafka: str
    redis_url: str
    triton: str
    run_dir: Path
    repository: Path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models that come with the package, or a tiny one while it has no trained ranker."""
    if (SHIPPED_MODELS / "ranker" / "1" / "model.onnx").is_file():
        return SHIPPED_MODELS
    folder = tmp_path_factory.mktemp("models")
    write_tiny_ranker(folder)
    return folder


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[RunningStack]:
    """The whole stack in a folder with a space in its name, for the length of the run."""
    run_dir = tmp_path_factory.mktemp("stack") / "run folder"
    with Stack(run_dir, models) as embedded:
        at = embedded.addresses
        yield RunningStack(at.kafka, at.redis_url, at.triton, run_dir, Path(at.repository))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningStack, Stack]]:
    """Another stack, of those tests that change what Triton serves, and kill it; `office` puts it back in order."""
    folder = tmp_path_factory.mktemp("life of models")
    write_tiny_ranker(folder / "models")
    ended = threading.Event()
    with Stack(folder / "stack", folder / "models") as embedded:
        watcher = threading.Thread(target=embedded.watch, args=(ended,))
        watcher.start()
        at = embedded.addresses
        yield RunningStack(at.kafka, at.redis_url, at.triton, embedded.run_dir, Path(at.repository)), embedded
        ended.set()
        watcher.join()
