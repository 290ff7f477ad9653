"""The shopper clicks what it saw and what was really bought, sees less further down, and is the same for a seed."""

from dataclasses import astuple

import msgspec
import pytest

from streams.contracts import events as ev
from streams.contracts.slates import Slate, SlateItem
from streams.demo.journey import Basket, Line
from streams.demo.shopper import FADES, Shopper, unseen

ITEMS = [f"i{n}" for n in range(10)]


def _slate(request_id: str, items: list[str]) -> Slate:
    chosen = [SlateItem(item_id=i, score=1.0, source="repeat", reason="", propensity=1.0) for i in items]
    return Slate(
        slate_id="1-2-3", request_id=request_id, user_id="u", kind="for_you", at_ms=7, items=chosen,
        model="ranker/1", served_by="triton", because=None, latency_ms=1.0,
    )  # fmt: skip


def _basket(*items: str) -> Basket:
    lines = tuple(Line("u", item, 7, "b") for item in items)
    return Basket(lines, tuple(map(msgspec.json.encode, lines)))


def _looks(basket: Basket, seed: int = 1, slates: int = 300) -> list[list[ev.Impression | ev.Click]]:
    shopper = Shopper(seed)
    return [shopper.look(_slate(f"r{n}", ITEMS), basket) for n in range(slates)]


def test_a_click_is_of_what_was_seen_and_bought_and_names_its_slate() -> None:
    bought = {"i0", "i4", "i9", "elsewhere"}
    for n, (impression, *clicks) in enumerate(_looks(_basket(*bought))):
        assert isinstance(impression, ev.Impression)
        assert {one.item_id for one in clicks if isinstance(one, ev.Click)} == bought & set(impression.items)
        for click in clicks:
            assert isinstance(click, ev.Click)
            assert click.item_id == ITEMS[click.position or 0]
        assert {(one.request_id, one.user_id, one.at_ms) for one in (impression, *clicks)} == {(f"r{n}", "u", 7)}


def test_the_top_is_always_seen_and_a_position_as_often_as_the_model_says() -> None:
    slates = 4_000
    looks = [events[0] for events in _looks(_basket("none"), slates=slates)]
    seen = [item for look in looks if isinstance(look, ev.Impression) for item in look.items]
    for position, item in enumerate(ITEMS):
        assert seen.count(item) / slates == pytest.approx(1 / (1 + FADES * position), abs=0.04)


def test_the_same_seed_sees_the_same_in_any_order_and_another_seed_does_not() -> None:
    basket = _basket("i3")
    looks, shopper = _looks(basket, slates=50), Shopper(1)
    backwards = [shopper.look(_slate(f"r{n}", ITEMS), basket) for n in reversed(range(50))]
    assert looks == backwards[::-1]
    assert looks != _looks(basket, seed=2, slates=50)


def test_no_two_events_have_one_id() -> None:
    events = [one for events in _looks(_basket(*ITEMS)) for one in events]
    assert len({one.event_id for one in events}) == len(events)


def test_it_counts_what_it_says() -> None:
    shopper = Shopper(1)
    events = [one for n in range(40) for one in shopper.look(_slate(f"r{n}", ITEMS), _basket("i0", "i5"))]
    impressions = [one for one in events if isinstance(one, ev.Impression)]
    assert astuple(shopper) == (1, 40, sum(len(one.items) for one in impressions), len(events) - 40)


def test_an_empty_slate_is_not_looked_at() -> None:
    shopper = Shopper(1)
    assert shopper.look(_slate("r", []), _basket("i0")) == []
    assert shopper.impressions == 0


def test_what_nobody_looked_at_says_that_nothing_was_seen() -> None:
    assert unseen("u", "r", 7).items == []
    assert unseen("u", "r", 7).request_id == "r"
