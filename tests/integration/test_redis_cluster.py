"""Redis Cluster: three real nodes, so a key in a wrong slot or a script over two slots fails."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from streams.backfill.namespace import WriterAlive
from streams.backfill.run import Backfill
from streams.embedded.server import free_port
from streams.errors import StreamrankError, Unreachable
from streams.store.base import ItemChange, Position
from streams.store.connection import client_name
from streams.store.redis import RedisStore
from tests.backfilled import busy_log, contents, reference, write_log
from tests.contracts.stores import OPENING, applied, counters, following, opened
from tests.integration.redis_stores import FULL, in_a_loop, settings_of, store_at
from tests.support import wait_until
from tests.valkey import valkey

SHARES = [(0, 5460), (5461, 10922), (10923, 16383)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """Three primaries with a third of the slots each, and a replica of the second: their ports in this order."""
    with ExitStack() as servers:
        ports = []
        for _ in range(4):
            # On a slow machine the replica would take over by itself before the test tells it to.
            options = ("--cluster-enabled", "yes", "--cluster-replica-no-failover", "yes")
            options += ("--cluster-port", str(free_port()))
            ports.append(servers.enter_context(valkey(tmp_path_factory.mktemp("node"), *options)))
        nodes = [servers.enter_context(redis.Redis(port=port, decode_responses=True)) for port in ports]
        for node, share in zip(nodes, SHARES, strict=False):
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", *share)
        for epoch, (node, port) in enumerate(zip(nodes, ports, strict=True)):
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", epoch + 1)
            bus = node.config_get("cluster-port")["cluster-port"]
            nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
        second = nodes[1].execute_command("CLUSTER", "MYID")
        wait_until(lambda: second in str(nodes[3].cluster("nodes")), what="the second node")
        nodes[3].execute_command("CLUSTER", "REPLICATE", second)
        for node in nodes:
            wait_until(lambda node=node: node.cluster("info")["cluster_state"] == "ok", what="the cluster")
        wait_until(lambda: nodes[3].info("replication")["master_link_status"] == "up", what="the replica")
        yield ports


@in_a_loop
async def test_a_cluster_holds_state_by_partition(cluster: list[int]) -> None:
    async with store_at(cluster[0], redis_cluster=True) as store:
        await opened(store)
        marks: dict[int, str] = {}
        partitions = range(8)
        await store.changes(partitions, marks)
        _, mark, _ = await store.item_changes(None)
        users = {f"user {i}": b"%d" % i for i in range(50)}
        commits = [following(Position(), partition=p, **FULL | {"states": users}) for p in partitions]
        for _ in range(2):
            assert not any(answer.fenced for answer in await store.commit(commits))
        assert await store.positions(partitions) == {p: commits[p].position for p in partitions}
        assert await store.load([(p, user) for user in users for p in partitions]) == [
            state for state in users.values() for _ in partitions
        ]
        changes, complete = await store.changes(partitions, marks)
        assert complete
        assert sorted(change.partition for change in changes) == list(partitions)
        for p in partitions:
            assert await counters(store, p) == {("row", "1:x"): 3}
            assert {user: state async for user, state in store.states(p)} == users
            await applied(store, following(commits[p].position, partition=p, prune=True))
        assert await store.stats(partitions) == {"applied": 8}
        assert await store.upsert_items(0, 5, [ItemChange("a", b"{}"), ItemChange("b", None)])
        assert await store.item_changes(mark) != ([], mark, True)
        assert [some async for some in store.items()] == [[ItemChange("a", b"{}")]]


@in_a_loop
async def test_every_node_of_a_cluster_is_asked_for_its_policy(cluster: list[int]) -> None:
    with redis.Redis(port=cluster[2]) as node:
        node.config_set("maxmemory-policy", "volatile-ttl")
        try:
            async with store_at(cluster[0], redis_cluster=True) as store:
                with pytest.raises(StreamrankError, match=f":{cluster[2]} has maxmemory-policy volatile-ttl"):
                    await store.open(**OPENING)
        finally:
            node.config_set("maxmemory-policy", "noeviction")


def test_a_cluster_is_backfilled_unless_a_worker_is_connected_to_any_node(cluster: list[int], tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl", busy_log(2_000))
    for port in cluster[:3]:
        settings = settings_of(cluster[0], redis_cluster=True, partitions=8)
        with redis.Redis(port=port, client_name=client_name(settings, "worker")) as worker:
            worker.ping()
            with pytest.raises(WriterAlive, match="has a worker alive"):
                Backfill(settings, log, None, processes=2).run()
        Backfill(settings, log, None, processes=2).run()

    async def both() -> tuple[object, object]:
        expected = await contents(await reference(log.read_bytes().splitlines(), settings), settings)
        store = RedisStore.from_settings(settings)
        try:
            return await contents(store, settings), expected
        finally:
            await store.close()

    found, expected = asyncio.run(both())
    assert found == expected


@in_a_loop
async def test_a_cluster_that_lost_slots_is_named_and_found_again(cluster: list[int]) -> None:
    async with store_at(cluster[0], redis_cluster=True) as store:
        await opened(store)
        commits = [following(Position(), partition=p, **FULL) for p in range(8)]
        with redis.Redis(port=cluster[1]) as node:
            node.execute_command("CLUSTER", "DELSLOTSRANGE", *SHARES[1])
            with pytest.raises(Unreachable, match=f"127.0.0.1:{cluster[0]} "):
                await store.commit(commits)
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", *SHARES[1])
            wait_until(lambda: node.cluster("info")["cluster_state"] == "ok", what="the cluster")
        assert not any(answer.fenced for answer in await store.commit(commits))
        assert await counters(store, 1) == {("row", "1:x"): 3}


@in_a_loop
async def test_a_fail_over_is_followed(cluster: list[int]) -> None:
    async with store_at(cluster[0], redis_cluster=True) as store:
        await opened(store)
        commits = [following(Position(), partition=p, **FULL) for p in range(8)]
        await store.commit(commits)
        with redis.Redis(port=cluster[1]) as primary, redis.Redis(port=cluster[3]) as replica:
            primary.wait(1, 1_000)
            primary.shutdown(nosave=True)
            with pytest.raises(Unreachable, match="does not answer"):
                await store.positions(range(8))
            replica.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
            wait_until(lambda: replica.cluster("info")["cluster_state"] == "ok", what="the fail-over")
        with redis.Redis(port=cluster[0], decode_responses=True) as other:
            wait_until(lambda: f"127.0.0.1:{cluster[3]}" in _primaries(other), what="the news of it")
        more = [following(one.position, partition=one.partition, **FULL) for one in commits]
        assert not any(answer.fenced for answer in await store.commit(more))
        for p in range(8):
            assert await counters(store, p) == {("row", "1:x"): 6}


def _primaries(node: "redis.Redis[str]") -> list[str]:
    return [address for address, seen in node.cluster("nodes").items() if "master" in seen["flags"] and seen["slots"]]
