"""A commit that is refused, an owner that comes back, a cache that forgets."""

import asyncio
from collections.abc import Sequence
from typing import Any

from streams.features.user import FOLD_VERSION, unpack_state
from streams.pipeline import Outcome
from streams.store.base import Commit, Committed, Position
from streams.store.memory import MemoryStore
from tests.unit.building import at, published, records, run_all, started, states, wire


class CountingStore(MemoryStore):
    """Remembers which states were read, and can lose an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.lose_answer = False

    async def load(
        self, users: Sequence[tuple[int, str]], ledgers: Sequence[tuple[int, str]] = ()
    ) -> list[bytes | None]:
        self.loaded += [user for _, user in users]
        return await super().load(users, ledgers)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        answers = await super().commit(commits)
        if self.lose_answer:
            self.lose_answer = False
            raise TimeoutError
        return answers


def views(count: int, user: str = "u1") -> list[Any]:
    return records([wire("view", user, at(n), item_id=f"i{n}") for n in range(count)])


def test_a_zombie_is_fenced_and_changes_nothing() -> None:
    async def scenario() -> None:
        store, log = MemoryStore(), views(3)
        zombie, owner = await started(store), await started(store)
        await run_all(owner, log[:2])
        before = await states(store)
        outcome = await zombie.run({0: log[:1]})
        assert outcome.fenced == {0: Position(0, 1, at(1), 2)}
        assert (dict(outcome.outbox), dict(outcome.stats), dict(outcome.rest)) == ({}, {}, {})
        assert await states(store) == before
        assert zombie.watermarks == {}
        assert (await zombie.assign([0]))[0].offset == 1
        assert (await zombie.run({0: log[2:]})).stats == {"applied": 1}
        assert list((await states(store))["u1"].items) == ["i0", "i1", "i2"]

    asyncio.run(scenario())


def test_what_a_fenced_batch_left_is_not_to_be_run() -> None:
    async def scenario() -> Outcome:
        store, log = MemoryStore(), views(5)
        zombie = await started(store, snapshot_every_events=2)
        await run_all(await started(store), log[:1])
        return await zombie.run({0: log})

    outcome = asyncio.run(scenario())
    assert list(outcome.fenced) == [0]
    assert dict(outcome.rest) == {}


def test_a_zombies_cache_is_dropped_with_its_belief() -> None:
    async def scenario() -> None:
        store, log = MemoryStore(), views(3)
        zombie = await started(store)
        await run_all(zombie, log[:1])
        await run_all(await started(store), log[1:2])
        assert (await zombie.run({0: log[1:2]})).fenced
        await zombie.assign([0])
        await run_all(zombie, log[2:])
        assert list((await states(store))["u1"].items) == ["i0", "i1", "i2"]

    asyncio.run(scenario())


def test_an_owner_that_comes_back_unfenced_reads_states_anew() -> None:
    """It was asleep while another owned its partition, and is assigned it again before it wrote anything."""

    async def scenario() -> None:
        store, log = MemoryStore(), views(3)
        sleeper = await started(store)
        await run_all(sleeper, log[:1])
        await run_all(await started(store), log[1:2])
        assert (await sleeper.assign([0]))[0].offset == 1
        await run_all(sleeper, log[2:])
        assert list((await states(store))["u1"].items) == ["i0", "i1", "i2"]

    asyncio.run(scenario())


def test_one_fenced_partition_doesnt_stop_the_others() -> None:
    async def scenario() -> Outcome:
        store = MemoryStore()
        zombie, owner = await started(store, partitions=2), await started(store, partitions=2)
        log = records([wire("view", f"u{n}", item_id="i") for n in range(9)], 2)
        parts = {p: [record for record in log if record.partition == p] for p in (0, 1)}
        assert all(parts.values())
        await owner.run({0: parts[0]})
        outcome = await zombie.run(parts)
        assert len(await states(store, 2)) == 9
        return outcome

    outcome = asyncio.run(scenario())
    assert list(outcome.fenced) == [0]
    assert list(outcome.outbox) == [1]


def test_a_commit_whose_answer_was_lost_leaves_no_doubt() -> None:
    """It got through, so running the batch again is refused, and the store says where to go on."""

    async def scenario() -> None:
        store, log = CountingStore(), views(2)
        pipeline = await started(store)
        store.lose_answer = True
        try:
            await pipeline.run({0: log})
            raise AssertionError("the answer was not lost")
        except TimeoutError:
            pass
        assert (await pipeline.run({0: log})).fenced[0] == Position(0, 1, at(1), 2)
        assert (await states(store))["u1"].items.keys() == {"i0", "i1"}
        assert (await store.stats([0]))["applied"] == 2

    asyncio.run(scenario())


def test_a_new_owner_finds_the_outbox_byte_for_byte() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        log = records([wire("view", item_id="i"), wire("request", request_id="r"), wire("forget", "u2")])
        outcomes = await run_all(await started(store), log)
        again = await (await started(store)).outbox(0)
        assert again == list(outcomes[0].outbox[0])
        assert [message.topic for message in again] == ["recommendations", "feedback"]
        assert next(published(outcomes, "recommendations")).value == again[0].value

    asyncio.run(scenario())


def test_states_are_read_once_and_again_when_evicted() -> None:
    async def scenario() -> None:
        store = CountingStore()
        pipeline = await started(store, cached_users=2)
        log = records(
            [wire("view", user, at(n), item_id=f"i{n}") for n, user in enumerate(["a", "b", "a", "c", "a", "b"])]
        )
        for record in log:
            await pipeline.run({0: [record]})
        assert store.loaded == ["a", "b", "c", "b"]
        assert {user: list(state.items) for user, state in (await states(store)).items()} == {
            "a": ["i0", "i2", "i4"], "b": ["i1", "i5"], "c": ["i3"],
        }  # fmt: skip

    asyncio.run(scenario())


def test_a_batch_with_more_users_than_the_cache_holds() -> None:
    async def scenario() -> None:
        store = CountingStore()
        pipeline = await started(store, cached_users=1)
        log = records([wire("view", f"u{n % 5}", at(n), item_id=f"i{n}") for n in range(20)])
        await run_all(pipeline, log[:11])
        await run_all(pipeline, log[11:])
        assert all(len(state.items) == 4 for state in (await states(store)).values())
        assert sorted(store.loaded[:5]) == [f"u{n}" for n in range(5)]

    asyncio.run(scenario())


def test_a_revoked_partition_is_owned_no_more() -> None:
    async def scenario() -> None:
        pipeline = await started(partitions=2)
        assert set(pipeline.watermarks) == {0, 1}
        pipeline.revoke([0])
        assert set(pipeline.watermarks) == {1}

    asyncio.run(scenario())


def test_a_recreated_topic_begins_a_new_epoch_over_the_same_states() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        await run_all(await started(store), views(3))
        await store.open(partitions=1, fold_version=FOLD_VERSION, topic_ids={"events": "another", "items": "offline"})
        pipeline = await started(store)
        assert (await pipeline.assign([0]))[0] == Position(2, -1, at(2), 0)
        outcomes = await run_all(pipeline, records([wire("request", at_ms=at(9), request_id="r")]))
        assert b'"slate_id":"2-0-0"' in next(published(outcomes, "recommendations")).value
        assert len((await states(store))["u1"].items) == 3
        (packed,) = await store.load([(0, "u1")])
        assert packed is not None
        assert unpack_state(packed).last_ms == at(9)

    asyncio.run(scenario())
