"""The cache of user states keeps its bound, over all partitions together."""

import asyncio

from tests.unit.building import records, run_all, started, wire

USERS = [f"u{n}" for n in range(60)]


def test_the_setting_bounds_the_process_not_each_partition() -> None:
    async def scenario() -> int:
        pipeline = await started(partitions=4, cached_users=8)
        await run_all(pipeline, records([wire("view", user, item_id="a") for user in USERS], partitions=4))
        caches = [owned.users for owned in pipeline._owned.values()]  # noqa: SLF001
        return sum(user in cache for cache in caches for user in USERS)

    assert asyncio.run(scenario()) == 8
