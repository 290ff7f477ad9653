"""The referee of canaries at work: as `streamrank models watch`, or in a thread beside a trainer that makes them."""

import asyncio
import threading
import time
from collections.abc import Callable
from types import TracebackType

from streams.checks import triton_address
from streams.errors import StreamrankError
from streams.rollout.desk import Desk
from streams.rollout.pointer import Pointer
from streams.rollout.referee import Referee
from streams.settings import Settings
from streams.store.connection import connect


async def judge(settings: Settings, ended: Callable[[], bool], lease: int | None = None) -> None:
    """Judge each canary until `ended`; with the number of a trainer's `lease` nothing moves once that has ended.

    Raises:
        Misuse: a setting is missing or wrong. Servers that are away are waited for.
    """
    redis = connect(settings)
    try:
        pointer, address = Pointer(redis, settings.key_prefix, settings.triton_model, lease), triton_address(settings)

        def desk_of(why: str) -> Desk:
            return Desk(settings, pointer, address, "canary", why, lambda: int(time.time() * 1000))

        desk_of("")  # what is missing among the settings is said now
        await Referee(settings, pointer, desk_of).run(ended)
    finally:
        await redis.close()


class Judging:
    """`judge` in a thread, from `with` to the end of the block."""

    def __init__(self, settings: Settings, lease: int) -> None:
        self._settings = settings
        self._lease = lease
        self._ended = threading.Event()
        self._why: StreamrankError | None = None
        self._thread = threading.Thread(target=self._run, name="referee", daemon=True)

    def __enter__(self) -> "Judging":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what ended it, if it has ended."""
        if not self._thread.is_alive():
            raise self._why or StreamrankError("the referee of canaries has ended: the lines before say why")

    def _run(self) -> None:
        try:
            asyncio.run(judge(self._settings, self._ended.is_set, self._lease))
        except StreamrankError as exc:
            self._why = exc
