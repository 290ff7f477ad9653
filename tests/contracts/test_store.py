"""The laws of a home for state, for every implementation: who may write, how often, and what is kept."""

import asyncio
import importlib
import inspect
import pkgutil

import pytest

import streams.store
from streams.errors import StoreMismatch
from streams.store.base import Commit, Committed, FeatureStore, Message, Position
from tests.contracts.conftest import NAMESPACES, Namespace
from tests.contracts.stores import (
    OPENING,
    PARTITIONS,
    applied,
    commit,
    counters,
    everything,
    follow,
    following,
    opened,
)

FULL = {
    "states": {"anna": b"\x00\xff state", "ben": b""},
    "ledgers": {"0-1-3": b"\x00\xff ledger", "0-1-4": b""},
    "opened": {"0-1-3": "1800 anna", "0-1-4": "1801 b\u00e9n {1}"},
    "counts": {"pair:sku-1": {"20001:sku-2": 3, "20001:sku-3": 1}, "ünïcode {1}": {"5:x": 2}},
    "stats": {"applied": 10, "duplicate": 1},
    "outbox": [Message("recommendations", b"anna", b"{}")],
}


def test_every_implementation_is_under_contract() -> None:
    promised = {name for name in vars(FeatureStore) if not name.startswith("_")}
    found = {
        kind
        for module in pkgutil.iter_modules(streams.store.__path__, "streams.store.")
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if promised <= set(dir(kind)) and kind is not FeatureStore
    }
    assert found == set(NAMESPACES)


async def test_a_commit_is_read_back(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    position = await applied(store, following(Position(), **FULL))
    assert await store.positions([0, 1]) == {0: None, 1: position}
    assert await store.load([(1, "ben"), (0, "anna"), (1, "nobody"), (1, "anna")]) == [
        *(b"", None, None, b"\x00\xff state")
    ]
    assert [pair async for pair in store.states(1)] == [("anna", b"\x00\xff state"), ("ben", b"")]
    assert [pair async for pair in store.states(0)] == []
    assert await counters(store) == {
        ("pair:sku-1", "20001:sku-2"): 3,
        ("pair:sku-1", "20001:sku-3"): 1,
        ("ünïcode {1}", "5:x"): 2,
    }
    assert await store.stats(range(PARTITIONS)) == {"applied": 10, "duplicate": 1}


async def test_ledgers_are_read_back_with_states_until_they_are_closed(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    assert await store.waiting([0, 1]) == {0: {}, 1: {}}
    position = await applied(store, following(Position(), **FULL))
    wanted = [(1, "0-1-4"), (0, "0-1-3"), (1, "0-1-9"), (1, "0-1-3")]
    assert await store.load([(1, "ben")], wanted) == [b"", b"", None, None, b"\x00\xff ledger"]
    assert await store.load([], [(1, "ben")]) == [None]
    assert await namespace.store().waiting([1, 0]) == {1: FULL["opened"], 0: {}}

    position = await applied(store, following(position, ledgers={"0-1-3": b"marked"}))
    assert await store.load([], [(1, "0-1-3")]) == [b"marked"]
    assert (await store.waiting([1]))[1] == FULL["opened"]

    closing = {"0-1-3": None, "0-1-4": b"last", "0-1-7": b"new"}
    await applied(store, following(position, ledgers=closing, opened={"0-1-7": "1900 anna"}))
    assert await store.load([], [(1, "0-1-3"), (1, "0-1-4"), (1, "0-1-7")]) == [None, b"last", b"new"]
    assert (await store.waiting([1]))[1] == {"0-1-4": "1801 b\u00e9n {1}", "0-1-7": "1900 anna"}
    assert [user async for user, _ in store.states(1)] == ["anna", "ben"]


async def test_commits_add_up(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    position = await applied(store, following(Position(), **FULL))
    more = {"pair:sku-1": {"20001:sku-2": 2**40, "20002:sku-2": 1}}
    await applied(store, following(position, states={"ben": b"new"}, counts=more, stats={"applied": 5}))
    found = await counters(store)
    assert found["pair:sku-1", "20001:sku-2"] == 2**40 + 3
    assert found["pair:sku-1", "20002:sku-2"] == 1
    assert found["pair:sku-1", "20001:sku-3"] == 1
    assert await store.load([(1, "anna"), (1, "ben")]) == [b"\x00\xff state", b"new"]
    assert await store.stats([1]) == {"applied": 15, "duplicate": 1}


async def test_stats_are_summed_over_partitions(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    for partition in (0, 3):
        await applied(store, following(Position(), partition=partition, stats={"applied": 4}))
    assert await store.stats([0, 1, 3]) == {"applied": 8}


async def test_a_fenced_commit_changes_nothing(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    position = await applied(store, following(Position(), **FULL))
    before = await everything(store)
    late = following(
        Position(),
        records=5,
        states={"anna": None, "carl": b"x"},
        ledgers={"0-1-3": None, "0-1-9": b"x"},
        opened={"0-1-9": "1 carl"},
        counts={"pair:sku-1": {"20001:sku-2": 1}, "new": {"1:x": 1}},
        stats={"applied": 1},
        outbox=[Message("t", b"k", b"v")],
        prune=True,
    )
    assert await commit(store, late) == Committed(fenced=True, stored=position)
    assert await everything(store) == before


async def test_a_writer_ahead_of_the_store_is_fenced(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    ahead = following(Position(0, 99, 0, 100), **FULL)
    assert await commit(store, ahead) == Committed(fenced=True, stored=None)
    assert (await everything(store))["states"] == {}
    position = await applied(store, following(Position()))
    assert await commit(store, ahead) == Committed(fenced=True, stored=position)


async def test_a_commit_sent_twice_is_applied_once(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    one = following(Position(), **FULL)
    await applied(store, one)
    before = await everything(store)
    await applied(store, one)
    assert await everything(store) == before


async def test_a_commit_without_records_sent_twice_is_applied_once(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    position = await applied(store, following(Position(), **FULL))
    tick = Commit(1, position, position, "tick", stats={"ticks": 1}, counts={"row": {"1:x": 1}})
    await applied(store, tick)
    await applied(store, tick)
    assert (await store.stats([1]))["ticks"] == 1
    assert (await counters(store))["row", "1:x"] == 1


async def test_another_commit_of_the_same_records_is_fenced(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    position = await applied(store, following(Position(), writer="first", **FULL))
    twin = following(Position(), writer="second", **FULL)
    assert await commit(store, twin) == Committed(fenced=True, stored=position)


async def test_the_outbox_comes_back_byte_for_byte(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    messages = [
        Message("recommendations", b"\x00\xff\xc3", bytes(range(256)) * 300),
        Message("dead-letters", None, b"", 3),
        Message("feedback", b"", b"\xd9 not msgpack", 0),
        Message("recommendations", b"same", b"1"),
        Message("recommendations", b"same", b"2"),
    ]
    position = await applied(store, following(Position(), outbox=messages))
    assert await namespace.store().outbox(1) == messages
    position = await applied(store, following(position, outbox=messages[:1]))
    assert await store.outbox(1) == messages[:1]
    await applied(store, following(position))
    assert await store.outbox(1) == []


async def test_none_erases_a_user(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    position = await applied(store, following(Position(), states={"anna": b"a", "ben": b"b"}))
    await applied(store, following(position, states={"anna": None, "nobody": None, "carl": b"c"}))
    assert await store.load([(1, "anna"), (1, "ben")]) == [None, b"b"]
    assert [user async for user, _ in store.states(1)] == ["ben", "carl"]


async def test_partitions_do_not_touch_each_other(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    marks: dict[int, str] = {}
    await store.changes([1, 2], marks)
    answers = await store.commit([following(Position(), **FULL), following(Position(0, 5), partition=2, **FULL)])
    assert [answer.fenced for answer in answers] == [False, True]
    assert await store.load([(2, "anna")]) == [None]
    assert await counters(store, 2) == {}
    changes, _ = await store.changes([1, 2], marks)
    assert {change.partition for change in changes} == {1}


async def test_of_two_racing_writers_exactly_one_wins(namespace: Namespace) -> None:
    writers = [await opened(namespace.store()) for _ in range(2)]
    position = Position()
    for _ in range(20):
        rivals = [
            following(position, writer=who, states={"anna": who.encode()}, counts={"row": {"1:x": 1}}) for who in "ab"
        ]
        answers = await asyncio.gather(*map(commit, writers, rivals))
        assert sorted(answer.fenced for answer in answers) == [False, True]
        winner = "ab"[answers.index(Committed(fenced=False, stored=rivals[0].position))]
        assert await writers[0].load([(1, "anna")]) == [winner.encode()]
        position = rivals[0].position
    assert await counters(writers[0]) == {("row", "1:x"): 20}


async def test_a_new_epoch_fences_the_old_one(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    old = await applied(store, following(Position(), **FULL))
    new = await applied(store, following(Position(epoch=1), records=3, states={"anna": b"epoch 1"}))
    before = await everything(store)
    assert await commit(store, following(old, **FULL)) == Committed(fenced=True, stored=new)
    assert await commit(store, following(Position(), records=3, **FULL)) == Committed(fenced=True, stored=new)
    restart = following(Position(epoch=1), records=3, writer="another", **FULL)
    assert await commit(store, restart) == Committed(fenced=True, stored=new)
    assert await everything(store) == before
    assert (await applied(store, following(new))).epoch == 1


async def test_a_recreated_topic_begins_an_epoch(namespace: Namespace) -> None:
    store = namespace.store()
    assert await store.open(**OPENING) == {"events": 0, "items": 0}
    recreated = OPENING | {"topic_ids": {"events": "B", "items": "I"}}
    assert await namespace.store().open(**recreated) == {"events": 1, "items": 0}
    assert await namespace.store().open(**recreated) == {"events": 1, "items": 0}
    third = OPENING | {"topic_ids": {"events": "C"}}
    assert await namespace.store().open(**third) == {"events": 2}


@pytest.mark.parametrize("other", [{"partitions": 8}, {"fold_version": 2}])
async def test_another_shape_of_state_is_refused(namespace: Namespace, other: dict[str, int]) -> None:
    await opened(namespace.store())
    with pytest.raises(StoreMismatch) as refused:
        await namespace.store().open(**OPENING | other | {"topic_ids": {"events": "another"}})
    for number in (PARTITIONS, 1, *other.values()):
        assert str(number) in str(refused.value)
    assert await namespace.store().open(**OPENING) == {"events": 0, "items": 0}


async def test_a_large_commit_is_applied_whole(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    states = {f"user {i}": b"%d" % i * 50 for i in range(10_000)}
    counts = {f"row {i}": {f"{i}:{j}": j + 1 for j in range(100)} for i in range(400)}
    counts["wide"] = {f"7:{j}": j + 1 for j in range(10_000)}
    marks: dict[int, str] = {}
    seen: dict[tuple[str, str], int] = {}
    await store.changes([1], marks)
    position = await applied(store, following(Position(), states=states, counts=counts))
    assert {user: state async for user, state in store.states(1)} == states
    expected = {(row, field): value for row, fields in counts.items() for field, value in fields.items()}
    assert await counters(store) == expected
    assert await follow(store, marks, seen)
    assert seen == expected
    await applied(store, following(position, states=dict.fromkeys(states), prune=True))
    assert await store.load([(1, "user 9999")]) == [None]
    assert len(await counters(store)) == 401 * 3
