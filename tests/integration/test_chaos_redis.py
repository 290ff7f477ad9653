"""A network that resets connections between a worker and Redis: a call fails as `Unreachable` or not at all."""

import asyncio
from pathlib import Path

import uvloop

from benchmarks.chaos.proxy import Loop, Proxy
from streams.errors import Unreachable
from streams.store.base import Position
from tests.contracts.stores import applied, following, opened
from tests.integration.redis_stores import FULL, store_at
from tests.valkey import valkey

RESETS = 400


def test_a_connection_that_is_reset_at_any_moment_is_unreachable_in_the_workers_loop(tmp_path: Path) -> None:
    async def scenario(proxy: Proxy) -> int:
        failed = 0

        async def reset() -> None:
            for _ in range(RESETS):
                await asyncio.to_thread(proxy.reset)

        async with store_at(proxy.port) as store:
            await opened(store)
            position = await applied(store, following(Position(), **FULL))
            resetting = asyncio.create_task(reset())
            while not resetting.done():
                try:
                    await store.positions([1])
                except Unreachable:
                    failed += 1
            await resetting
            assert (await store.positions([1]))[1] == position
        return failed

    with valkey(tmp_path) as port, Loop() as loop, asyncio.Runner(loop_factory=uvloop.new_event_loop) as worker:
        proxy = Proxy(loop, port)
        assert worker.run(scenario(proxy)) > 0
        proxy.close()
