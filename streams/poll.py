"""Looks at a server again and again, until cancelled; while it is away, what was seen last counts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from streams.errors import Unreachable

log = logging.getLogger(__name__)


async def poll(look: Callable[[], Awaitable[None]], every_s: float, away: str) -> None:
    """Await `look` every `every_s` seconds; log `away` when it begins to raise `Unreachable`."""
    was_away = False
    while True:
        try:
            await look()
            was_away = False
        except Unreachable as exc:
            if not was_away:
                log.warning(away, extra={"reason": str(exc)})
            was_away = True
        await asyncio.sleep(every_s)
