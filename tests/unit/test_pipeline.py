"""One micro-batch after the other over a memory store: what each record comes to."""

import asyncio
import base64
import hashlib
import json
from typing import Any

import pytest

from inference.ranker import Ranked, RankerInputs
from streams import fold_batch
from streams.contracts import topics
from streams.contracts.partition import partition_of
from streams.features.user import UserState, fold
from streams.pipeline import Outcome
from streams.store import base
from streams.store.base import Position
from streams.store.memory import MemoryStore
from tests.support import counter_values
from tests.unit.building import (
    DAY,
    HOUR,
    T0,
    DeadRanker,
    RowRanker,
    at,
    bodies,
    item,
    published,
    raw,
    records,
    run_all,
    started,
    states,
    wire,
)  # fmt: skip

ITEMS = [item(f"i{n}") for n in range(5)]


def run(
    *values: bytes, store: MemoryStore | None = None, lag_ms: int = 0, **made: Any
) -> tuple[list[Outcome], MemoryStore]:
    """Run events of one partition in one batch; return what came of it, and the store."""
    store = store or MemoryStore()

    async def scenario() -> list[Outcome]:
        pipeline = await started(store, items=ITEMS, **made)
        position = (await pipeline.assign([0]))[0]
        return await run_all(pipeline, records(values, start=position.offset + 1, lag_ms=lag_ms))

    return asyncio.run(scenario()), store


def stored(store: MemoryStore) -> dict[str, UserState]:
    return asyncio.run(states(store))


def request(user: str = "u1", at_ms: int = T0, **fields: Any) -> bytes:
    return wire("request", user, at_ms, **({"request_id": "r1", "kind": "rerank", "items": ["i1", "i2"]} | fields))


def test_a_request_is_answered_on_its_users_partition() -> None:
    outcomes, _ = run(wire("view", item_id="i1"), request(), ranker=RowRanker())
    (message,) = published(outcomes, topics.RECOMMENDATIONS)
    assert (message.key, message.partition) == (b"u1", 0)
    slate = json.loads(message.value)
    assert (slate["slate_id"], slate["request_id"], slate["served_by"]) == ("0-0-1", "r1", "triton")
    assert {one["item_id"] for one in slate["items"]} == {"i1", "i2"}
    assert outcomes[0].stats == {"applied": 2, "slates": 1, "slates_triton": 1}


def test_an_answer_goes_where_the_request_says() -> None:
    outcomes, _ = run(request(reply_to="shop.answers"))
    (message,) = published(outcomes, "shop.answers")
    assert (message.key, message.partition) == (b"u1", None)


def test_a_dead_ranker_degrades_the_slate() -> None:
    outcomes, _ = run(request(), ranker=DeadRanker())
    (slate,) = bodies(outcomes, topics.RECOMMENDATIONS)
    assert (slate["served_by"], slate["model"]) == ("popular", None)
    assert slate["because"] == "ranker/7 did not answer within 100 ms"
    assert outcomes[0].stats["slates_popular"] == 1


def test_a_ranker_that_breaks_unexpectedly_stops_nothing() -> None:
    class Broken(DeadRanker):
        async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
            raise KeyError("p")

    outcomes, _ = run(request(), ranker=Broken())
    (slate,) = bodies(outcomes, topics.RECOMMENDATIONS)
    assert (slate["served_by"], slate["because"]) == ("popular", "ranker failed: KeyError")


def test_all_requests_of_a_batch_cost_one_call() -> None:
    ranker = RowRanker()
    run(*(request(f"u{n}") for n in range(9)), ranker=ranker)
    assert [rows for rows, _ in ranker.calls] == [9]


def test_a_request_past_its_deadline_is_only_counted() -> None:
    outcomes, store = run(request(deadline_ms=T0 - 1), request(deadline_ms=T0))
    assert len(bodies(outcomes, topics.RECOMMENDATIONS)) == 1
    assert outcomes[0].stats["expired"] == 1
    assert asyncio.run(store.stats([0]))["expired"] == 1


def test_a_repeat_is_counted_and_changes_nothing() -> None:
    once, store = run(wire("purchase", item_id="i1", event_id="e1"))
    before = stored(store)
    counts = asyncio.run(counters(store))
    again, _ = run(wire("purchase", item_id="i1", event_id="e1"), store=store)
    assert again[0].stats == {"duplicates": 1}
    assert stored(store) == before
    assert asyncio.run(counters(store)) == counts
    assert once[0].stats == {"applied": 1}


async def counters(store: MemoryStore, partitions: int = 1) -> dict[tuple[int, str, str], int]:
    return {(p, *where): n for p in range(partitions) async for c in store.counts(p) for *where, n in counter_values(c)}


def test_what_is_no_event_becomes_a_dead_letter_and_the_rest_goes_on() -> None:
    store = MemoryStore()
    bad = [raw(b"\xff{", offset=0), raw(None, offset=1), raw(wire("view", item_id="i1"), None, offset=2)]

    async def scenario() -> list[Outcome]:
        return await run_all(await started(store), [*bad, raw(wire("view", item_id="i1"), offset=3)])

    outcomes = asyncio.run(scenario())
    letters = bodies(outcomes, topics.DEAD_LETTERS)
    assert [(letter["partition"], letter["offset"], letter["topic"]) for letter in letters] == [
        (0, 0, "events"), (0, 1, "events"), (0, 2, "events"),
    ]  # fmt: skip
    assert base64.b64decode(letters[0]["bytes"]) == b"\xff{"
    assert outcomes[0].stats == {"dead_letters": 3, "applied": 1}
    assert set(stored(store)) == {"u1"}


def test_a_dead_letter_stays_publishable_whatever_was_sent() -> None:
    huge = raw(b"x" * 990_000, b"k" * 990_000)

    async def scenario() -> list[Outcome]:
        return await run_all(await started(), [huge])

    (message,) = published(asyncio.run(scenario()), topics.DEAD_LETTERS)
    assert message.key == b"k" * 1_024
    assert len(message.value) < 500_000
    letter = json.loads(message.value)
    assert base64.b64decode(letter["bytes"]) == b"x" * 256 * 1024
    assert (letter["size_bytes"], letter["sha256"]) == (990_000, hashlib.sha256(b"x" * 990_000).hexdigest())


def test_poison_becomes_a_dead_letter_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def poisoned(state: UserState, event: Any, at_ms: int) -> UserState:
        if getattr(event, "item_id", "") == "poison":
            raise ZeroDivisionError("no basket")
        return fold(state, event, at_ms)

    monkeypatch.setattr(fold_batch, "fold", poisoned)
    outcomes, store = run(*(wire("view", item_id=name) for name in ("i1", "poison", "i2")))
    (letter,) = bodies(outcomes, topics.DEAD_LETTERS)
    assert (letter["offset"], letter["reason"]) == (1, "could not be processed: ZeroDivisionError: no basket")
    assert set(stored(store)["u1"].items) == {"i1", "i2"}


def test_a_request_that_cant_be_answered_is_a_dead_letter_and_others_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> list[Outcome]:
        pipeline = await started(items=ITEMS)
        prepare = pipeline.recommender.prepare

        def poisoned(ask: Any) -> Any:
            if ask.request.user_id == "u2":
                raise IndexError("out of bounds")
            return prepare(ask)

        monkeypatch.setattr(pipeline.recommender, "prepare", poisoned)
        return await run_all(pipeline, records([request("u1"), request("u2"), request("u3")]))

    outcomes = asyncio.run(scenario())
    assert [slate["user_id"] for slate in bodies(outcomes, topics.RECOMMENDATIONS)] == ["u1", "u3"]
    (letter,) = bodies(outcomes, topics.DEAD_LETTERS)
    assert (letter["offset"], letter["reason"]) == (1, "could not be answered: IndexError: out of bounds")
    assert (outcomes[0].stats["applied"], outcomes[0].stats["dead_letters"]) == (2, 1)
    assert [message.topic for message in outcomes[0].outbox[0]] == [
        "recommendations",
        "dead-letters",
        "recommendations",
    ]


def test_forget_erases_and_leaves_a_receipt_that_names_nobody() -> None:
    _, store = run(wire("purchase", item_id="i1"))
    outcomes, _ = run(wire("forget", at_ms=at(1)), store=store)
    assert stored(store) == {}
    (receipt,) = bodies(outcomes, topics.FEEDBACK)
    digest = hashlib.sha256(b"u1").hexdigest()
    assert receipt == {"type": "forgotten", "feedback_id": "0-0-1", "user_sha256": digest, "at_ms": at(1)}
    (message,) = published(outcomes, topics.FEEDBACK)
    assert message.key == digest.encode()
    after, _ = run(wire("view", item_id="i2", at_ms=at(2)), store=store)
    assert set(stored(store)["u1"].items) == {"i2"}
    assert after[0].stats == {"applied": 1}


def test_an_anonymous_history_moves_to_the_login_by_an_absorb() -> None:
    store = MemoryStore()
    login = next(f"u{n}" for n in range(99) if partition_of(b"u%d" % n, 4) != partition_of(b"anon", 4))
    log = [wire("purchase", "anon", item_id="i1"), wire("alias", "anon", at(1), login=login)]

    async def scenario() -> dict[str, UserState]:
        pipeline = await started(store, partitions=4)
        outcomes = await run_all(pipeline, records(log, 4))
        (message,) = published(outcomes, topics.EVENTS)
        assert (message.key, message.partition) == (login.encode(), None)
        assert await states(store, 4) == {}
        (absorb,) = records([message.value], 4)
        again = absorb._replace(offset=1)
        assert (await run_all(pipeline, [absorb]))[0].stats == {"applied": 1}
        assert (await run_all(pipeline, [again]))[0].stats == {"duplicates": 1}
        return await states(store, 4)

    moved = asyncio.run(scenario())
    assert set(moved) == {login}
    assert moved[login].baskets == 1


def test_an_alias_of_nobody_known_moves_nothing() -> None:
    outcomes, _ = run(wire("alias", "anon", login="u1"))
    assert list(published(outcomes, topics.EVENTS)) == []


def test_an_expired_history_is_neither_counted_nor_moved() -> None:
    long_ago = T0 - 401 * DAY
    for last in (wire("alias", login="u2"), wire("view", item_id="i2")):
        outcomes, store = run(wire("view", item_id="i1", at_ms=long_ago), last)
        assert list(published(outcomes, topics.EVENTS)) == []
        assert not [row for _, row, _ in asyncio.run(counters(store)) if row.startswith("b:")]


def test_ticks_move_the_watermark_and_nothing_else() -> None:
    tick = json.dumps({"type": "tick", "partition": 0, "at_ms": T0 + HOUR}).encode()
    outcomes, store = run(wire("view", item_id="i1"), tick)
    assert outcomes[0].stats == {"applied": 1, "ticks": 1}
    assert (outcomes[0].outbox[0], len(stored(store))) == ([], 1)
    assert asyncio.run(store.positions([0]))[0] == Position(0, 1, T0 + HOUR, 2)


def test_the_watermark_follows_no_clock_that_is_far_ahead_and_never_goes_back() -> None:
    _, store = run(wire("view", item_id="i1", at_ms=T0 + HOUR), lag_ms=-HOUR)
    position = asyncio.run(store.positions([0]))[0]
    assert position is not None
    assert position.watermark_ms == T0 + fold_batch.CLOCK_SKEW_MS
    run(wire("view", item_id="i1", at_ms=T0 - DAY), store=store)
    later = asyncio.run(store.positions([0]))[0]
    assert later is not None
    assert later.watermark_ms == position.watermark_ms


def test_what_the_broker_lost_is_counted() -> None:
    store = MemoryStore()

    async def scenario() -> Outcome:
        pipeline = await started(store)
        return await pipeline.run({0: records([wire("view", item_id="i1")], start=7)}, lost={0: 7})

    assert asyncio.run(scenario()).stats == {"applied": 1, "lost": 7}
    assert asyncio.run(store.stats([0]))["lost"] == 7


def test_batches_end_where_counters_are_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("streams.pipeline", "streams.fold_batch"):
        monkeypatch.setattr(f"{module}.PRUNE_EVERY", 10)
    store = MemoryStore(row_limit=4, row_keep=2)
    log = records([wire("view", item_id="hub" if n % 2 else f"i{n}", at_ms=at(n)) for n in range(24)])
    outcomes = asyncio.run(run_from_start(store, log))
    assert [outcome.stats["applied"] for outcome in outcomes] == [10, 10, 4]
    assert [len(outcome.rest.get(0, ())) for outcome in outcomes] == [14, 4, 0]
    fields = [field for _, row, field in asyncio.run(counters(store)) if row == "b:hub"]
    assert len(fields) == 4
    assert base.PRUNE_EVERY > 1_000


def test_batches_end_where_the_snapshot_is_refreshed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.pipeline.PRUNE_EVERY", 10)
    log = records([wire("view", item_id="i1", at_ms=at(n)) for n in range(24)])
    outcomes = asyncio.run(run_from_start(MemoryStore(), log, snapshot_every_events=7))
    assert [outcome.stats["applied"] for outcome in outcomes] == [7, 3, 4, 6, 1, 3]


async def run_from_start(store: MemoryStore, log: list[Any], **fields: Any) -> list[Outcome]:
    return await run_all(await started(store, **fields), log)
