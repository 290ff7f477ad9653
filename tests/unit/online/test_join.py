"""A served slate waits for its outcome, and is one record of feedback when nothing can become of it any more."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from inference.ranker import Ranked, RankerInputs
from inference.tensors import HEADS
from streams import fold_batch
from streams.online.join import CLOSED_BY_RECORD, CLOSED_BY_TICK, MAX_MISSED, MAX_OPEN
from tests.unit.building import RowRanker, at, wire
from tests.unit.online.joining import ITEMS, WINDOW_MIN, K, Shop, ask, of, outcomes


def scenario(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a coroutine function as a test."""

    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@scenario
async def test_a_slate_closes_when_the_window_is_over_and_not_before() -> None:
    shop = await Shop.open()
    await shop.send(ask("r", 0))
    await shop.tick(WINDOW_MIN)
    assert not shop.feedback
    await shop.tick(WINDOW_MIN + 0.01)
    (one,) = shop.feedback
    assert (one.slate_id, one.request_id, one.user_id) == ("0-0-0", "r", "u1")
    assert one.feedback_id == "0-0-2-0"
    assert (one.at_ms, one.closed_ms) == (at(0), at(WINDOW_MIN + 0.01))
    assert outcomes(one) == [None] * K
    assert [shown.item_id for shown in one.items] == shop.shown("r")
    assert all(shown.seen for shown in one.items)
    await shop.tick(5 * WINDOW_MIN)
    assert len(shop.feedback) == 1
    assert await shop.stats() == {"written": 1}


@scenario
async def test_the_record_holds_what_the_ranker_saw_and_said() -> None:
    class Recording(RowRanker):
        def __init__(self) -> None:
            super().__init__()
            self.inputs: list[RankerInputs] = []

        async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
            self.inputs.append(inputs)
            return await super().rank(inputs, timeout_s)

    ranker = Recording()
    shop = await Shop.open()
    shop.pipeline.recommender._ranker = ranker  # noqa: SLF001
    await shop.send(*(wire("click", "u1", at(n), item_id=f"i{n}") for n in range(5)))
    await shop.pipeline.refresh()
    shop.pipeline.catalogue.semantic[: len(ITEMS)] = np.arange(3 * len(ITEMS)).reshape(-1, 3)
    await shop.send(ask("r", 6, kind="for_you", context={"device": "ios"}))
    await shop.tick(60)
    (inputs,) = ranker.inputs
    (one,) = shop.feedback
    served = shop.slate("r")
    rows = [inputs.item_ids[0].tolist().index(i) for i in hashed(shop, one)]
    assert np.array_equal(np.array([s.features for s in one.items], np.float32), inputs.features[0][rows])
    assert np.array_equal(np.array([s.pairs for s in one.items], np.float32), inputs.pairs[0][rows])
    assert np.array_equal([s.item_code for s in one.items], inputs.item_codes[0][rows])
    assert np.array_equal(np.array(one.seeds, np.float32), inputs.seeds[0])
    assert np.array_equal(one.history_ids, inputs.history_ids[0])
    assert np.array_equal(one.history_codes, inputs.history_codes[0])
    assert inputs.features[0][rows].any()
    assert inputs.history_codes[0].any()
    assert [dict(zip(HEADS, s.p or [], strict=True)) for s in one.items] == [i["p"] for i in served["items"]]
    assert [(s.item_id, s.score, s.source, s.propensity) for s in one.items] == [
        (i["item_id"], i["score"], i["source"], i["propensity"]) for i in served["items"]
    ]
    assert [s.position for s in one.items] == list(range(K))
    assert {s.category for s in one.items} == {"tools"}
    assert (one.model, one.served_by, one.kind, one.device) == ("rows/1", "triton", "for_you", "ios")


def hashed(shop: Shop, one: Any) -> list[int]:
    catalogue = shop.pipeline.catalogue
    return [int(catalogue.hashed[catalogue.index[shown.item_id]]) for shown in one.items]


@scenario
async def test_an_outcome_within_the_window_is_found_and_one_after_it_is_not() -> None:
    shop = await Shop.open(purchase_window_s=3_600.0)
    await shop.send(ask("r", 0))
    first, second, third, fourth = shop.shown("r")
    await shop.send(
        wire("click", at_ms=at(WINDOW_MIN), request_id="r", item_id=first),
        wire("cart", at_ms=at(WINDOW_MIN + 1), request_id="r", item_id=second),
        wire("click", at_ms=at(WINDOW_MIN + 1), item_id=third),
        wire("purchase", at_ms=at(60), item_id=fourth),
        wire("purchase", at_ms=at(61), request_id="r", item_id=second),
    )
    (one,) = shop.feedback
    assert outcomes(one) == ["click", None, None, "purchase"]
    assert [shown.outcome_ms for shown in one.items] == [at(WINDOW_MIN), None, None, at(60)]
    assert await shop.stats() == {"written": 1, "late": 1, "orphaned": 1}


@scenario
async def test_the_deepest_outcome_counts_whatever_comes_first() -> None:
    shop = await Shop.open()
    await shop.send(ask("r", 0))
    item_id = shop.shown("r")[2]
    await shop.send(
        wire("purchase", at_ms=at(3), request_id="r", item_id=item_id),
        wire("click", at_ms=at(1), request_id="r", item_id=item_id),
        wire("purchase", at_ms=at(4), request_id="r", item_id=item_id),
    )
    await shop.tick(60)
    (one,) = shop.feedback
    assert outcomes(one) == [None, None, "purchase", None]
    assert one.items[2].outcome_ms == at(3)
    assert await shop.stats() == {"written": 1, "repeated": 2}


@scenario
async def test_an_outcome_is_never_before_its_request() -> None:
    shop = await Shop.open()
    await shop.send(ask("r", 5))
    await shop.send(wire("click", at_ms=at(4), request_id="r", item_id=shop.shown("r")[0]))
    await shop.send(wire("click", at_ms=at(4), item_id=shop.shown("r")[1]))
    await shop.tick(60)
    (one,) = shop.feedback
    assert outcomes(one) == ["click", None, None, None]
    assert one.items[0].outcome_ms == at(5)


@scenario
async def test_of_two_slates_with_an_item_the_last_before_the_click_gets_it_unless_one_is_named() -> None:
    shop = await Shop.open()
    await shop.send(ask("a", 0), ask("b", 2), ask("c", 10))
    both = shop.shown("a")
    assert both == shop.shown("b") == shop.shown("c")
    await shop.send(
        wire("click", at_ms=at(5), item_id=both[0]),
        wire("click", at_ms=at(11), item_id=both[1]),
        wire("click", at_ms=at(12), request_id="a", item_id=both[2]),
    )
    await shop.tick(100)
    await shop.tick(100)
    assert outcomes(of(shop.feedback, "a")) == [None, None, "click", None]
    assert outcomes(of(shop.feedback, "b")) == ["click", None, None, None]
    assert outcomes(of(shop.feedback, "c")) == [None, "click", None, None]


@scenario
async def test_a_repeat_by_event_id_does_not_count_twice() -> None:
    shop = await Shop.open()
    await shop.send(ask("a", 0, event_id="e0"))
    click = wire("click", at_ms=at(1), request_id="a", item_id=shop.shown("a")[0], event_id="e1")
    await shop.send(click, ask("a", 0, event_id="e0"), click)
    await shop.tick(60)
    assert len(shop.slates) == len(shop.feedback) == 1
    assert await shop.stats() == {"written": 1}


@scenario
async def test_what_the_user_went_for_elsewhere_is_missed() -> None:
    shop = await Shop.open()
    await shop.send(ask("a", 0), ask("b", 1))
    other = [f"o{n}" for n in range(MAX_MISSED + 5)]
    await shop.send(
        wire("click", at_ms=at(2), item_id=other[0]),
        wire("cart", at_ms=at(2), item_id=other[0]),
        wire("purchase", at_ms=at(2), request_id="a", item_id=other[1]),
        wire("view", at_ms=at(2), item_id=other[2]),
    )
    await shop.send(*(wire("click", at_ms=at(3), item_id=name) for name in other))
    await shop.tick(60)
    assert of(shop.feedback, "a").missed == 1
    assert of(shop.feedback, "b").missed == MAX_MISSED


@scenario
async def test_impressions_say_what_was_seen() -> None:
    shop = await Shop.open()
    await shop.send(ask("r", 0))
    first, second, third, _ = shop.shown("r")
    await shop.send(
        wire("impression", at_ms=at(1), request_id="r", items=[first]),
        wire("impression", at_ms=at(1), request_id="r", items=[second, "unknown"]),
        wire("impression", at_ms=at(1), request_id="r", items=[first]),
        wire("click", at_ms=at(2), request_id="r", item_id=third),
        wire("impression", at_ms=at(2), request_id="never", items=[first]),
    )
    await shop.tick(60)
    assert [shown.seen for shown in shop.feedback[0].items] == [True, True, True, False]
    assert await shop.stats() == {"written": 1, "repeated": 1, "orphaned": 1}


@scenario
async def test_a_pushed_slate_is_named_by_its_own_id() -> None:
    shop = await Shop.open(push_on=frozenset({"search"}), push_every_ms=0)
    await shop.send(wire("search", at_ms=at(0), query="thing", context={"device": "ios"}))
    (slate,) = shop.slates
    await shop.send(wire("click", at_ms=at(1), request_id=slate["slate_id"], item_id=slate["items"][1]["item_id"]))
    await shop.tick(60)
    (one,) = shop.feedback
    assert (one.request_id, one.device) == (None, "ios")
    assert outcomes(one)[:2] == [None, "click"]


@scenario
async def test_what_others_do_is_not_this_users_outcome() -> None:
    shop = await Shop.open()
    await shop.send(ask("r", 0, "u1"))
    await shop.send(wire("click", "u2", at_ms=at(1), request_id="r", item_id=shop.shown("r")[0]))
    await shop.tick(60)
    assert outcomes(shop.feedback[0]) == [None] * K
    assert await shop.stats() == {"written": 1, "orphaned": 1}


@scenario
async def test_forget_erases_what_waits_at_once() -> None:
    shop = await Shop.open()
    await shop.send(ask("a", 0), ask("b", 1), ask("c", 1, "u2"), wire("forget", at_ms=at(2)))
    assert list((await shop.store.waiting([0]))[0]) == ["0-0-2"]
    assert await shop.store.load([], [(0, "0-0-0"), (0, "0-0-1")]) == [None, None]
    await shop.tick(60)
    assert [one.request_id for one in shop.feedback] == ["c"]
    assert await shop.stats() == {"written": 1, "erased": 2}


@scenario
async def test_an_alias_closes_what_waits_with_what_is_known() -> None:
    shop = await Shop.open()
    await shop.send(ask("a", 0))
    await shop.send(wire("click", at_ms=at(1), request_id="a", item_id=shop.shown("a")[0]))
    await shop.send(wire("alias", at_ms=at(2), login="u9"))
    (one,) = shop.feedback
    assert (one.user_id, one.closed_ms, outcomes(one)[0]) == ("u1", at(2), "click")
    assert await shop.stats() == {"written": 1, "early": 1}


@scenario
async def test_a_user_has_few_slates_open_and_the_oldest_makes_room() -> None:
    shop = await Shop.open()
    await shop.send(*(ask(f"r{n}", n / 10) for n in range(MAX_OPEN + 2)))
    assert [one.request_id for one in shop.feedback] == ["r0", "r1"]
    assert len((await shop.store.waiting([0]))[0]) == MAX_OPEN
    assert await shop.stats() == {"written": 2, "early": 2}


@scenario
async def test_a_leap_in_time_is_caught_up_with_in_small_steps() -> None:
    shop = await Shop.open()
    many = CLOSED_BY_TICK + 3 * CLOSED_BY_RECORD
    await shop.send(*(ask(f"r{n}", 0, f"u{n}") for n in range(many)))
    await shop.tick(60)
    assert len(shop.feedback) == CLOSED_BY_TICK
    late = wire("click", f"u{many - 1}", at(60), request_id=f"r{many - 1}", item_id=shop.shown(f"r{many - 1}")[0])
    await shop.send(late)
    assert len(shop.feedback) == CLOSED_BY_TICK + CLOSED_BY_RECORD
    await shop.tick(60)
    assert [one.request_id for one in shop.feedback] == [f"r{n}" for n in range(many)]
    assert {outcome for one in shop.feedback for outcome in outcomes(one)} == {None}
    assert await shop.stats() == {"written": many, "late": 1}


@scenario
async def test_records_of_one_partition_have_ids_that_grow() -> None:
    shop = await Shop.open()
    await shop.send(*(ask(f"r{n}", n, f"u{n}") for n in range(30)))
    await shop.tick(200)
    ids = [tuple(map(int, one.feedback_id.split("-"))) for one in shop.feedback]
    assert ids == sorted(set(ids))
    assert len(ids) == 30


@scenario
async def test_nothing_waits_when_the_join_is_off() -> None:
    shop = await Shop.open(attribution_window_s=0.0)
    await shop.send(ask("r", 0))
    await shop.tick(60)
    assert len(shop.slates) == 1
    assert not shop.feedback
    assert await shop.store.waiting([0]) == {0: {}}
    assert await shop.stats() == {}


@scenario
async def test_an_empty_slate_has_nothing_to_wait_for() -> None:
    shop = await Shop.open()
    await shop.send(ask("r", 0, filters={"brand": ["none"]}))
    await shop.tick(60)
    assert shop.slate("r")["items"] == []
    assert not shop.feedback


@scenario
async def test_a_ledger_that_is_gone_is_counted() -> None:
    shop = await Shop.open()
    await shop.send(ask("r", 0))
    shop.store._partitions[0].ledgers.clear()  # noqa: SLF001 (what Redis' EXPIRE would do)
    await shop.pipeline.assign([0])
    await shop.tick(60)
    assert not shop.feedback
    assert await shop.stats() == {"lost": 1}
    assert await shop.store.waiting([0]) == {0: {}}


def test_what_breaks_the_join_of_one_record_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fold_batch.ledger_of

    def stumbling(slate: Any, *rest: Any) -> Any:
        if slate.request_id == "b":
            raise ZeroDivisionError("a bug")
        return whole(slate, *rest)

    async def run() -> None:
        shop = await Shop.open()
        await shop.send(ask("a", 0), ask("b", 1), ask("c", 2))
        await shop.tick(60)
        assert [slate["request_id"] for slate in shop.slates] == ["a", "b", "c"]
        assert [one.request_id for one in shop.feedback] == ["a", "c"]
        assert await shop.stats() == {"written": 2, "failed": 1}

    monkeypatch.setattr(fold_batch, "ledger_of", stumbling)
    asyncio.run(run())


@pytest.mark.parametrize("batch", [1, 3])
def test_a_new_owner_goes_on_where_the_last_one_was(batch: int) -> None:
    async def run(drop: bool) -> list[Any]:
        shop = await Shop.open()
        for n in range(12):
            await shop.send(ask(f"r{n}", 4 * n, f"u{n % 3}"), batch=batch)
            if drop:
                await shop.pipeline.assign([0])
            await shop.send(
                wire("click", f"u{n % 3}", at(4 * n + 1), item_id=shop.shown(f"r{n}")[n % K]),
                wire("impression", f"u{n % 3}", at(4 * n + 2), request_id=f"r{n}", items=shop.shown(f"r{n}")[:2]),
            )
        await shop.tick(200)
        return shop.feedback

    whole = asyncio.run(run(False))
    assert len(whole) == 12
    assert asyncio.run(run(True)) == whole
