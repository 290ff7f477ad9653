"""What the tests of `RedisStore` share: stores in a fresh key prefix, and coroutines as ordinary tests."""

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from streams.settings import Settings
from streams.store.base import Message
from streams.store.redis import RedisStore

FULL: dict[str, Any] = {
    "states": {"anna": b"state"},
    "counts": {"row": {"1:x": 3}},
    "stats": {"applied": 1},
    "outbox": [Message("recommendations", b"anna", b"{}")],
}
_numbers = itertools.count()


def settings_of(port: int, **more: Any) -> Settings:
    url = SecretStr(more.pop("url", f"redis://127.0.0.1:{port}/0"))
    return Settings(redis_url=url, key_prefix=f"redis.{next(_numbers)}.", **more)


@asynccontextmanager
async def store_at(port: int, **more: Any) -> AsyncIterator[RedisStore]:
    store = RedisStore.from_settings(settings_of(port, **more))
    try:
        yield store
    finally:
        await store.close()


def in_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make an ordinary test of a coroutine function."""

    @functools.wraps(test)
    def run(*args: Any, **more: Any) -> None:
        asyncio.run(test(*args, **more))

    return run
