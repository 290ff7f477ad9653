"""A served slate waits for its outcome, and is one record of feedback when nothing can become of it any more."""

from streams.online.join import CLOSED_BY_RECORD, CLOSED_BY_TICK, MAX_OPEN
from tests.unit.building import RowRanker, at, started, wire
from tests.unit.online.joining import ITEMS, WINDOW_MIN, K, Shop, ask, outcomes, scenario


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
async def test_who_becomes_oneself_keeps_what_waits() -> None:
    shop = await Shop.open()
    await shop.send(ask("a", 0), wire("alias", at_ms=at(2), login="u1"))
    assert not shop.feedback
    assert await shop.stats() == {}


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
    seen = wire("impression", f"u{many - 1}", at(60), request_id=f"r{many - 1}", items=[])
    await shop.send(late, seen)
    assert len(shop.feedback) == CLOSED_BY_TICK + 2 * CLOSED_BY_RECORD
    await shop.tick(60)
    assert [one.request_id for one in shop.feedback] == [f"r{n}" for n in range(many)]
    assert {outcome for one in shop.feedback for outcome in outcomes(one)} == {None}
    assert all(shown.seen for one in shop.feedback for shown in one.items)
    assert await shop.stats() == {"written": many, "late": 2}


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
async def test_a_slate_that_is_due_when_its_user_forgets_is_not_published_either() -> None:
    shop = await Shop.open()
    await shop.send(ask("a", 0), ask("b", 0, "u2"), wire("forget", at_ms=at(WINDOW_MIN + 1)))
    assert [one.request_id for one in shop.feedback] == ["b"]
    assert await shop.stats() == {"written": 1, "erased": 1}


async def changed(shop: Shop, window_s: float) -> None:
    """Have a worker of another window go on, as after a restart."""
    shop.pipeline = await started(shop.store, RowRanker(), ITEMS, attribution_window_s=window_s)


@scenario
async def test_a_window_that_was_changed_counts_for_what_waits_too() -> None:
    shop = await Shop.open()
    await shop.send(ask("a", 0), ask("b", 5, "u2"))
    await changed(shop, 600.0)
    await shop.send(ask("c", 8, "u3"))
    await shop.tick(10.01)
    assert [one.request_id for one in shop.feedback] == ["a"]
    await shop.tick(18.01)
    assert [one.request_id for one in shop.feedback] == ["a", "b", "c"]


@scenario
async def test_when_the_join_is_switched_off_what_waits_closes_or_is_erased() -> None:
    shop = await Shop.open()
    await shop.send(ask("a", 0), ask("b", 1, "u2"))
    await shop.send(wire("click", "u2", at(2), request_id="b", item_id=shop.shown("b")[0]))
    await changed(shop, 0.0)
    await shop.send(wire("forget", at_ms=at(3)), ask("c", 3, "u2"))
    (one,) = shop.feedback
    assert (one.request_id, outcomes(one)[0]) == ("b", "click")
    assert await shop.stats() == {"written": 1, "erased": 1}
    assert await shop.store.waiting([0]) == {0: {}}
