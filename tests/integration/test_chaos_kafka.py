"""A network that resets connections between a worker and Kafka: asking where the broker is fails in order or never."""

import asyncio

import uvloop
from aiokafka.client import AIOKafkaClient

from benchmarks.chaos.proxy import Loop, Proxy
from streams.agents.connections import lose_reset_connections
from tests.integration.conftest import RunningStack

RESETS = 400
AT_ONCE = 8
"""Who ask at the same time: each reset meets somebody who is about to write."""


def test_a_connection_that_is_reset_at_any_moment_ends_no_search_for_the_broker(stack: RunningStack) -> None:
    async def scenario(proxy: Proxy) -> int:
        client, failed = AIOKafkaClient(bootstrap_servers=proxy.address), 0

        async def reset() -> None:
            for _ in range(RESETS):
                await asyncio.to_thread(proxy.reset)

        async def ask() -> None:
            nonlocal failed
            while not resetting.done():
                failed += not await client._metadata_update(client.cluster, [])  # noqa: SLF001

        await client.bootstrap()
        resetting = asyncio.create_task(reset())
        try:
            await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        finally:
            await resetting
        assert await client._metadata_update(client.cluster, [])  # noqa: SLF001
        await client.close()
        return failed

    lose_reset_connections()
    port = int(stack.kafka.rpartition(":")[2])
    with Loop() as loop, asyncio.Runner(loop_factory=uvloop.new_event_loop) as worker:
        proxy = Proxy(loop, port, is_broker=True)
        assert worker.run(scenario(proxy)) > 0
        proxy.close()
