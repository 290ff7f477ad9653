"""The laws of counters and the catalogue for those who read while others write: miss nothing, or be told."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.store.base import FeatureStore, ItemChange, Meaning, Position
from tests.contracts.conftest import LIMITS, Namespace, memory, redis
from tests.contracts.stores import OPENING, Counters, applied, counters, follow, following, opened
from tests.support import counter_values

FIELDS = ("7:a", "7:B", "7:_", "7:é", "7:\U0001f600", "8:a", "8:a:b", "-3:a", "0007:a", "none", ":a", "9" * 16 + ":a")
"""Names that sort differently by bytes, by locale, by letter case and by what counts as a bucket."""


async def test_changes_begin_now(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    position = await applied(store, following(Position(), counts={"row": {"1:x": 5}}))
    marks: dict[int, str] = {}
    assert await store.changes([1], marks) == ([], True)
    assert set(marks) == {1}
    await applied(store, following(position, counts={"row": {"1:x": 2}}, stats={"applied": 1}))
    seen: Counters = {}
    assert await follow(store, marks, seen)
    assert seen == {("row", "1:x"): 7}
    assert await store.changes([1], marks) == ([], True)


async def test_a_change_applied_twice_or_late_does_no_harm(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    marks: dict[int, str] = {}
    await store.changes([1], marks)
    position = await applied(store, following(Position(), counts={"row": {"1:x": 5}}))
    await applied(store, following(position, counts={"row": {"1:x": 1, "1:y": 1}}))
    seen = await counters(store)
    again = dict(marks)
    assert await follow(store, marks, seen)
    assert await follow(store, again, seen)
    assert seen == {("row", "1:x"): 6, ("row", "1:y"): 1}


async def test_a_reader_that_loads_while_others_write_converges(namespace: Namespace) -> None:
    writer, reader = await opened(namespace.store()), await opened(namespace.store())

    async def write() -> None:
        position = Position()
        for turn in range(60):
            rows = {f"row {(turn * 7 + i) % 40}": {f"{turn % 9}:{i}": 1, "9:x": 2} for i in range(5)}
            position = await applied(writer, following(position, counts=rows, prune=turn % 6 == 5))
            await asyncio.sleep(0)

    async def read() -> Counters:
        marks: dict[int, str] = {}
        seen: Counters = {}
        complete = False
        while not complete or not writing.done():
            if not complete:
                await reader.changes([1], marks)
                seen = await counters(reader)
            complete = await follow(reader, marks, seen)
            await asyncio.sleep(0)
        while not await follow(reader, marks, seen):
            seen = await counters(reader)
        return seen

    writing = asyncio.ensure_future(write())
    seen = await read()
    await writing
    assert seen == await counters(reader)
    assert len(seen) > 40


async def test_dropped_changes_are_noticed(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    marks: dict[int, str] = {}
    await store.changes([1, 2], marks)
    early = dict(marks)
    position = Position()
    for turn in range(100):  # Redis drops whole nodes of a stream, of about 20 such entries
        wide = {f"row {turn}": {f"1:{i}": 1 for i in range(LIMITS["changes_kept"] // 2)}}
        position = await applied(store, following(position, counts=wide))
        assert await follow(store, marks, {})
    _, complete = await store.changes([1, 2], early)
    assert not complete
    assert early == marks
    assert await store.changes([1, 2], early) == ([], True)
    _, complete = await store.changes([2], {2: marks[2]})
    assert complete


async def test_a_prune_keeps_the_newest_and_the_largest(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    marks: dict[int, str] = {}
    await store.changes([1], marks)
    long = {"9:small": 1, "10:small": 1, "9:b": 4, "9:a": 4, "9:large": 8, "8:x": 99, "none": 99}
    short = {f"1:{i}": 1 for i in range(LIMITS["row_limit"])}
    position = await applied(store, following(Position(), counts={"long": long, "short": short}))
    assert len(await counters(store)) == len(long) + len(short)
    await applied(store, following(position, counts={"long": {"8:x": 1}}, prune=True))
    found = await counters(store)
    kept = {field: value for (row, field), value in found.items() if row == "long"}
    assert kept == {"10:small": 1, "9:large": 8, "9:a": 4, "8:x": 1}
    assert {field for row, field in found if row == "short"} == set(short)
    seen: Counters = {}
    assert await follow(store, marks, seen)
    assert seen == found


async def test_equals_are_pruned_in_the_order_of_their_bytes(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    equals = {f"7:{name}": 1 for name in ("é", "a", "\U0001f600", "b", "_", "Z", "\uffff", "B", "aa")}
    await applied(store, (one := following(Position(), counts={"row": equals})))
    await applied(store, following(one.position, prune=True))
    assert await counters(store) == {("row", "7:B"): 1, ("row", "7:Z"): 1, ("row", "7:_"): 1}


async def test_a_prune_during_a_load_hides_no_row(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    position = await applied(store, following(Position(), counts={"old": {"1:x": 1}}))
    position = await applied(store, following(position, prune=True))
    position = await applied(store, following(position, counts={"new": {"1:x": 2}}))
    load = store.counts(1)
    first = await anext(load)
    await applied(store, following(position, prune=True))
    values = [*counter_values(first), *[value async for change in load for value in counter_values(change)]]
    assert sorted(values) == [("new", "1:x", 2), ("old", "1:x", 1)]


async def test_a_prune_cuts_what_grew_since_the_last(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    row = {f"1:{i}": 1 for i in range(LIMITS["row_limit"] + 1)}
    position = await applied(store, following(Position(), counts={"old": row}))
    position = await applied(store, following(position, prune=True))
    assert len(await counters(store)) == LIMITS["row_keep"]
    position = await applied(store, following(position, counts={"new": row}))
    assert len(await counters(store)) == LIMITS["row_keep"] + len(row)
    await applied(store, following(position, prune=True))
    assert len(await counters(store)) == 2 * LIMITS["row_keep"]


counts = st.dictionaries(
    st.sampled_from(["row", "ROW", "é", "{0}"]),
    st.dictionaries(st.sampled_from(FIELDS), st.integers(1, 4), max_size=9),
    max_size=3,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(counts, st.booleans()), min_size=1, max_size=8))
def test_all_homes_count_and_prune_alike(redis_url: str, batches: list[tuple[dict[str, dict[str, int]], bool]]) -> None:
    async def run() -> None:
        namespaces = [memory(redis_url), redis(redis_url)]
        stores = [await opened(namespace.store()) for namespace in namespaces]
        marks: list[dict[int, str]] = [{}, {}]
        seen: list[Counters] = [{}, {}]
        for store, mark in zip(stores, marks, strict=True):
            await store.changes([1], mark)
        position = Position()
        for rows, prune in batches:
            for store, mark, into in zip(stores, marks, seen, strict=True):
                await applied(store, following(position, counts=rows, prune=prune))
                assert await follow(store, mark, into)
            position = following(position).position
            assert await counters(stores[0]) == seen[0] == seen[1] == await counters(stores[1])
        for namespace in namespaces:
            await namespace.close()

    asyncio.run(run())


async def catalogue(store: FeatureStore) -> dict[str, bytes | None]:
    return {change.item_id: change.value async for some in store.items() for change in some}


async def test_the_catalogue_follows_its_changes(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    assert await store.items_positions() == {}
    _, mark, _ = await store.item_changes(None)
    changes = [ItemChange("a", b"{1}"), ItemChange("b", b"\xff{2}"), ItemChange("ü", b""), ItemChange("b", None)]
    assert await store.upsert_items(0, 8, changes)
    assert await store.upsert_items(2, 1, [ItemChange("c", b"{3}"), ItemChange("nothing", None)])
    assert await catalogue(store) == {"a": b"{1}", "ü": b"", "c": b"{3}"}
    assert await store.items_positions() == {0: 8, 2: 1}
    found, mark, complete = await store.item_changes(mark)
    assert complete
    assert found == [
        *(ItemChange("a", b"{1}"), ItemChange("b", None), ItemChange("ü", b"")),
        *(ItemChange("c", b"{3}"), ItemChange("nothing", None)),
    ]
    assert await store.item_changes(mark) == ([], mark, True)


async def test_catalogue_changes_up_to_a_known_offset_do_nothing(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    assert await store.upsert_items(0, 8, [ItemChange("a", b"new")])
    _, mark, _ = await store.item_changes(None)
    for offset in (8, 7):
        assert not await store.upsert_items(0, offset, [ItemChange("a", b"old"), ItemChange("b", b"old")])
    assert await catalogue(store) == {"a": b"new"}
    assert await store.item_changes(mark) == ([], mark, True)
    assert await store.upsert_items(1, 7, [ItemChange("a", None)])
    assert await catalogue(store) == {}
    assert await store.upsert_items(0, 9, [])
    assert await store.items_positions() == {0: 9, 1: 7}


async def test_a_recreated_items_topic_begins_at_its_start(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    await store.upsert_items(0, 8, [ItemChange("a", b"1")])
    again = namespace.store()
    assert await again.open(**OPENING | {"topic_ids": {"items": "another"}}) == {"items": 1}
    assert await again.items_positions() == {}
    assert await again.upsert_items(0, 0, [ItemChange("a", b"2")])
    assert await again.items_positions() == {0: 0}
    assert await catalogue(again) == {"a": b"2"}


async def test_a_reader_far_behind_the_catalogue_is_told(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    _, mark, _ = await store.item_changes(None)
    for offset in range(12):
        items = [ItemChange(f"{offset} {i}", b"{}") for i in range(1_000)]
        assert await store.upsert_items(0, offset, items)
    _, now, complete = await store.item_changes(mark)
    assert not complete
    assert await store.item_changes(now) == ([], now, True)
    assert len(await catalogue(store)) == 12_000


async def test_meanings_come_with_the_items_and_tell_readers(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    await store.upsert_items(0, 1, [ItemChange("a", b"{1}"), ItemChange("b", b"{2}")])
    _, mark, _ = await store.item_changes(None)
    await store.put_meanings({"a": Meaning(b"\x00code", b"vector\xff"), "gone": Meaning(b"code", b"vector")})
    found, now, complete = await store.item_changes(mark)
    assert complete
    assert [change for change in found if change.value is not None] == [ItemChange("a", b"{1}", b"\x00code")]
    again = namespace.store()
    whole = {change.item_id: change async for some in again.items() for change in some}
    assert whole == {"a": ItemChange("a", b"{1}", b"\x00code"), "b": ItemChange("b", b"{2}")}
    assert await again.vectors(["b", "a", "gone"]) == [None, b"vector\xff", None]
    assert await store.item_changes(now) == ([], now, True)


async def test_meanings_outlive_an_upsert_and_go_with_the_item(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    await store.upsert_items(0, 1, [ItemChange("a", b"{1}")])
    await store.put_meanings({"a": Meaning(b"code", b"vector")})
    _, mark, _ = await store.item_changes(None)
    await store.upsert_items(0, 2, [ItemChange("a", b"{2}")])
    found, mark, _ = await store.item_changes(mark)
    assert found == [ItemChange("a", b"{2}", b"code")]
    await store.upsert_items(0, 3, [ItemChange("a", None)])
    found, mark, _ = await store.item_changes(mark)
    assert found == [ItemChange("a", None)]
    assert await store.vectors(["a"]) == [None]
    await store.upsert_items(0, 4, [ItemChange("a", b"{3}")])
    found, _, _ = await store.item_changes(mark)
    assert found == [ItemChange("a", b"{3}")]


async def test_of_no_meanings_nobody_is_told(namespace: Namespace) -> None:
    store = await opened(namespace.store())
    _, mark, _ = await store.item_changes(None)
    await store.put_meanings({})
    await store.put_meanings({"gone": Meaning(b"code", b"vector")})
    assert await store.item_changes(mark) == ([], mark, True)
