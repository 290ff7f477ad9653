"""An operator under fire: a second version of the ranker, promoted and rolled back while all else happens.

A command that is refused, as Triton is away at that moment, changes nothing served; it is given again.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine

from inference.triton_ranker import TritonAddress
from streams.errors import StreamrankError
from streams.rollout.desk import Desk
from streams.rollout.lineup import Lineup
from streams.rollout.pointer import Pointer
from streams.settings import Settings
from streams.store.connection import connect

SECOND = 2
PATIENT_S = 60.0
"""How long a command is given again; a server that was killed is back by then."""
AGAIN_S = 0.5
TIMEOUT_S = 5.0
"""What a version may take in its trial, twice over: on a busy machine it is no slower model, only later."""

Command = Callable[[Desk], Coroutine[object, object, Lineup]]


def publish_second(settings: Settings) -> None:
    """Publish the version that serves once more, as the next one; nothing served changes."""
    first = str(settings.triton_version)
    _give(settings, lambda desk: desk.publish(str(desk.folder.served / first), SECOND))


def insist(settings: Settings, command: Command) -> None:
    """Give a command until it is done.

    Raises:
        StreamrankError: it is still refused after PATIENT_S.
    """
    deadline_s = time.monotonic() + PATIENT_S
    while True:
        try:
            return _give(settings, command)
        except StreamrankError:
            if time.monotonic() > deadline_s:
                raise
        time.sleep(AGAIN_S)


def _give(settings: Settings, command: Command) -> None:
    async def give() -> None:
        redis = connect(settings)
        pointer = Pointer(redis, settings.key_prefix, settings.triton_model)
        address = TritonAddress(settings.triton_address)
        patient = settings.model_copy(update={"triton_timeout_s": TIMEOUT_S})
        desk = Desk(patient, pointer, address, "chaos", "a fault", lambda: int(time.time() * 1000))
        try:
            await command(desk)
        finally:
            await redis.close()

    asyncio.run(give())
