"""The fault that is the embedded broker's own: it is killed, and its log is gone."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from benchmarks.chaos.crew import crew
from benchmarks.chaos.field import Field, supervised
from benchmarks.chaos.load import Load
from benchmarks.chaos.logs import read
from benchmarks.chaos.reference import reference
from benchmarks.chaos.traffic import Traffic
from benchmarks.deployment import Deployment
from streams.contracts.topics import EVENTS
from streams.decode import Record
from streams.embedded.stack import Stack
from streams.settings import Settings
from streams.store.redis import RedisStore
from tests.support import wait_until

ASK_S = 10.0
FIRST, SECOND = 600, 1_800
"""Events of two logs; the second reaches behind the first, so it could be taken for its continuation."""


def applied_up_to(settings: Settings) -> dict[int, tuple[int, int]]:
    """Return epoch and next offset of each partition of which something is stored."""

    async def ask() -> dict[int, tuple[int, int]]:
        store = RedisStore.from_settings(settings)
        try:
            found = await store.positions(range(settings.partitions))
            return {p: (at.epoch, at.offset + 1) for p, at in found.items() if at is not None}
        finally:
            await store.close()

    return asyncio.run(ask())


def acked_up_to(settings: Settings) -> dict[int, int]:
    """Return what the group has committed to Kafka, the next offset of each partition."""
    consumer = Consumer(settings.kafka_client_config() | {"group.id": settings.kafka_group})
    name = settings.topic(EVENTS)
    try:
        found = consumer.committed([TopicPartition(name, p) for p in range(settings.partitions)], timeout=ASK_S)
        return {at.partition: at.offset for at in found}
    finally:
        consumer.close()


def live(field: Field, epoch: int, messages: int) -> list[Record]:
    """Publish, await that all is applied, and return the log."""
    settings = field.deployment.settings
    load = Load(field.deployment, Traffic(seed=epoch), rate_per_s=0.0)
    load.publish(messages)
    assert load.failures == []

    def is_applied() -> bool:
        now = applied_up_to(settings)
        return all(now.get(p, (0, 0)) >= (epoch, end) for p, end in load.ends.items())

    wait_until(is_applied, 60, "all that was sent")
    # Acked is what is published, too: then histories on their way to another partition are in the log.
    wait_until(lambda: all(acked_up_to(settings).get(p, 0) >= end for p, end in load.ends.items()), 30, "all acks")
    log = list(read(settings, EVENTS))
    ends = {record.partition: record.offset + 1 for record in log}
    wait_until(lambda: all(applied_up_to(settings)[p] >= (epoch, end) for p, end in ends.items()), 30, "all of the log")
    return log


def states(settings: Settings) -> dict[str, bytes]:
    async def ask() -> dict[str, bytes]:
        store = RedisStore.from_settings(settings)
        try:
            return {user: state for p in range(settings.partitions) async for user, state in store.states(p)}
        finally:
            await store.close()

    return asyncio.run(ask())


@pytest.mark.timeout(240)
def test_a_broker_that_lost_its_log_begins_an_epoch_over_the_same_states(tmp_path: Path, models: Path) -> None:
    with (
        Stack(tmp_path / "run", models) as stack,
        Deployment(stack.addresses, tmp_path) as deployment,
        crew(deployment, stack.addresses, tmp_path / "crew", size=2) as workers,
    ):
        field = Field(stack, deployment, workers, Load(deployment, Traffic(0), 0.0), tmp_path)
        workers.start()
        with supervised(field):
            log: Sequence[Record] = live(field, 0, FIRST)
            os.kill(stack.pids["broker"], signal.SIGKILL)
            wait_until(lambda: field.restarts, 30, "the broker to be started again")
            log = [*log, *live(field, 1, SECOND)]
        assert "a new epoch begins" in field.restarts[0]
        assert any("a new epoch begins" in member.worker.log.read_text("utf-8") for member in workers.members)
        assert workers.failures == []
        expected = asyncio.run(reference(deployment.settings, log, []))
        assert states(deployment.settings) == expected.packed()
        assert deployment.stats()["applied"] == expected.outcomes["applied"]
