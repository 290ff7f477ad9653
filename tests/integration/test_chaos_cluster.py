"""A worker on a Redis Cluster of which a slot moves and a node is lost under it: every event counts once."""

from collections import Counter
from pathlib import Path

import redis

from streams.errors import Unreachable
from streams.settings import Settings
from tests.integration.conftest import RunningStack
from tests.integration.processes import clicks, own_settings, publish, stored, worker
from tests.integration.test_redis_cluster import cluster
from tests.integration.test_worker_rebalance import touched, touches
from tests.support import wait_until

__all__ = ["cluster"]
ALL = 1_200  # 12 of each kind: a state counts to 15


def await_applied(settings: Settings, count: int) -> None:
    def is_applied() -> bool:
        try:
            return stored(settings).get("applied", 0) >= count
        except Unreachable:
            return False

    wait_until(is_applied, 60, f"{count} events applied")


def move(ports: list[int], slot: int, source: int, target: int) -> None:
    """Move a slot from the node at one port to that at another, key by key."""
    with redis.Redis(port=source, decode_responses=True) as old, redis.Redis(port=target, decode_responses=True) as new:
        names = {port: node.execute_command("CLUSTER", "MYID") for port, node in ((source, old), (target, new))}
        new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        while keys := old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
            old.execute_command("MIGRATE", "127.0.0.1", target, "", 0, 5_000, "KEYS", *keys)
        for port in (target, source, *ports):
            with redis.Redis(port=port) as node:
                if node.info("replication")["role"] == "master":
                    node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[target])


def test_a_slot_moves_and_a_node_is_lost_under_a_worker(
    stack: RunningStack, cluster: list[int], tmp_path: Path
) -> None:
    url = f"redis://127.0.0.1:{cluster[0]}/0"
    settings = own_settings(stack, redis_url=url, redis_cluster=True, partitions=8, redis_timeout_s=1.0)
    events = clicks(ALL)
    with worker(settings, tmp_path) as one, redis.Redis(port=cluster[0]) as node:
        one.await_ready()
        publish(settings, "events", events[:400])
        await_applied(settings, 400)
        slots = {p: node.execute_command("CLUSTER", "KEYSLOT", f"{{{p}}}") for p in range(settings.partitions)}
        publish(settings, "events", events[400:800])
        for slot in (slot for slot in slots.values() if slot > 10_922):
            move(cluster, slot, source=cluster[2], target=cluster[0])
        await_applied(settings, 800)
        publish(settings, "events", events[800:1_000])
        with redis.Redis(port=cluster[1]) as primary, redis.Redis(port=cluster[3]) as replica:
            primary.wait(1, 1_000)
            primary.shutdown(nosave=True)
            replica.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
            wait_until(lambda: replica.cluster("info")["cluster_state"] == "ok", what="the fail-over")
        publish(settings, "events", events[1_000:])
        await_applied(settings, ALL)
        assert not one.ended()
    assert any(slot > 10_922 for slot in slots.values())
    assert stored(settings)["applied"] == ALL
    assert touches(settings) == Counter(touched(value) for _, value in events)
