"""What counts as the outcome of a slate, and of which one."""

from streams.online.join import MAX_MISSED
from tests.unit.building import at, wire
from tests.unit.online.joining import WINDOW_MIN, K, Shop, ask, of, outcomes, scenario


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
async def test_an_item_that_is_missed_again_counts_once() -> None:
    shop = await Shop.open()
    await shop.send(ask("a", 0))
    await shop.send(*(wire(kind, at_ms=at(2), item_id="other") for kind in ("click", "click", "purchase")))
    await shop.tick(60)
    assert of(shop.feedback, "a").missed == 1


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
