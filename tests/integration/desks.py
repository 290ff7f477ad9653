"""An operator's desk on a stack of its own, whose repository holds one tiny champion, version 1."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from inference.probe import golden_inputs
from inference.repository import ModelFolder, load, versions
from inference.triton_ranker import TritonAddress, TritonRanker
from streams.embedded.stack import Stack
from streams.errors import RankerUnavailable
from streams.rollout.desk import Desk
from streams.rollout.lineup import Lineup
from streams.rollout.pointer import Pointer
from streams.settings import Settings
from streams.store.connection import connect
from tests.integration.conftest import RunningStack
from tests.integration.processes import own_settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Office:
    """Where one operator works: settings of a namespace of its own, and the folder that Triton serves."""

    settings: Settings
    folder: ModelFolder
    address: TritonAddress

    def do(self, work: Callable[[Desk], Coroutine[Any, Any, T]], who: str = "ann", **settings: Any) -> T:
        """Do something at a fresh desk; `settings` are changed for it."""

        async def run() -> T:
            own = self.settings.model_copy(update=settings)
            redis = connect(own)
            try:
                pointer = Pointer(redis, own.key_prefix, own.triton_model)
                return await work(Desk(own, pointer, self.address, who, "a test", lambda: int(time.time() * 1000)))
            finally:
                await redis.close()

        return asyncio.run(run())

    def publish(self, source: Path) -> Lineup:
        """Publish the version in this folder under the number that it is named by."""
        return self.do(lambda desk: desk.publish(str(source), int(source.name)))

    def promote(self, version: int) -> Lineup:
        """Make this version the champion."""
        return self.do(lambda desk: desk.promote(version))

    def lineup(self) -> Lineup:
        """Return the lineup as it is."""
        return self.do(lambda desk: desk.lineup())

    def served(self) -> list[int]:
        """Return the versions in the folder that Triton serves."""
        return versions(self.folder.served)

    def reset(self) -> None:
        """Put the folder back to where it began: version 1 serves, and nothing lies on the shelf."""
        if self.folder.where(1) == self.folder.shelf:
            self.folder.bring_in(1)
        for version in self.served():
            if version != 1:
                self.folder.take_out(version)
        for version in versions(self.folder.shelf):
            self.folder.discard(version)
        load(self.address, "ranker")


class Traffic(threading.Thread):
    """Ranks with one version without pause while the block runs; `failures` says what went wrong, and how often not."""

    def __init__(self, address: TritonAddress, version: int) -> None:
        super().__init__(daemon=True)
        self.answers = 0
        self.failures: list[str] = []
        self._address = address
        self._version = version
        self._ended = threading.Event()

    def run(self) -> None:
        """Rank until the block ends."""
        asyncio.run(self._rank())

    async def _rank(self) -> None:
        inputs = list(golden_inputs())[1]
        ranker = TritonRanker(self._address, self._version)
        expected = (await ranker.rank(inputs, 5.0)).p
        while not self._ended.is_set():
            try:
                same = np.array_equal((await ranker.rank(inputs, 5.0)).p, expected)
            except RankerUnavailable as exc:
                self.failures.append(str(exc))
            else:
                self.answers += 1
                self.failures.extend([] if same else ["another answer"])
            await asyncio.sleep(0.005)
        await ranker.close()

    def __enter__(self) -> "Traffic":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


@pytest.fixture
def office(running: tuple[RunningStack, Stack]) -> Office:
    stack, _ = running
    settings = own_settings(stack, triton_repository=stack.repository, triton_timeout_s=5.0)
    office = Office(settings, ModelFolder(stack.repository, "ranker"), TritonAddress(stack.triton))
    office.reset()
    return office
