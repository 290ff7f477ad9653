"""A trainer's lease, kept by a thread of its own while its holder works: training and loading models block long."""

import asyncio
import threading
import time
from types import TracebackType
from typing import Final

from streams.errors import StreamrankError, Unreachable
from streams.rollout.lease import Lease, LeaseLost, lease_lost
from streams.settings import Settings
from streams.store.connection import connect

LASTS_S: Final = 30.0
"""How long a lease outlives its holder. Longer: another trainer waits longer; shorter: a pause of Redis ends a run."""
RENEWALS: Final = 5
"""How often it is renewed in that time."""


class LeaseTaken(StreamrankError):
    """Another trainer is at work: wait until it has ended, or stop it."""


class Held:
    """The lease of the settings' model, from `with` to the end of the block.

    `check` raises once the lease may be another's, so that what must not be done by two is not begun.
    """

    def __init__(self, settings: Settings, lasts_s: float = LASTS_S) -> None:
        self.number = 0
        self._settings = settings
        self._lasts_s = lasts_s
        self._until_s = 0.0
        self._lost = False
        self._ended = threading.Event()
        self._taken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trainer's lease", daemon=True)
        self._why: StreamrankError | None = None

    def __enter__(self) -> "Held":
        """Take the lease.

        Raises:
            LeaseTaken: another trainer has it.
            Unreachable: Redis is away.
            Misuse: the settings of Redis are wrong.
        """
        self._thread.start()
        self._taken.wait()
        if self._why is not None:
            self._thread.join()
            raise self._why
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raise `LeaseLost` unless the lease is surely held now."""
        if self._lost or time.monotonic() > self._until_s:
            raise lease_lost(self._settings.triton_model)

    def _run(self) -> None:
        asyncio.run(self._keep())

    async def _keep(self) -> None:
        try:
            redis = connect(self._settings)
        except StreamrankError as exc:
            self._why = exc
            self._taken.set()
            return
        model, lasts_ms = self._settings.triton_model, round(self._lasts_s * 1000)
        lease = Lease(redis, self._settings.key_prefix, model, lasts_ms)
        try:
            await self._take(lease)
            while self._why is None and not self._lost and not self._ended.is_set():
                await asyncio.to_thread(self._ended.wait, self._lasts_s / RENEWALS)
                await self._renew(lease)
            if self._why is None and not self._lost:
                await lease.release()
        except Unreachable:
            pass  # it ends by itself
        finally:
            await redis.close()

    async def _take(self, lease: Lease) -> None:
        asked_s = time.monotonic()
        try:
            if await lease.take():
                self.number, self._until_s = int(lease.number or 0), asked_s + self._lasts_s
            else:
                self._why = LeaseTaken(
                    f"another trainer of {self._settings.triton_model} is at work: it ends by itself"
                )
        except StreamrankError as exc:
            self._why = exc
        finally:
            self._taken.set()

    async def _renew(self, lease: Lease) -> None:
        asked_s = time.monotonic()
        try:
            await lease.renew()
        except LeaseLost:
            self._lost = True
        except Unreachable:
            return  # until it has ended
        else:
            self._until_s = asked_s + self._lasts_s
