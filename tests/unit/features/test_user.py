import pytest

from streams.contracts import events as ev
from streams.features import touch as t
from streams.features import user as u
from streams.features.touch import Touch
from streams.features.user import EMPTY, UserState, current, fold, pack_state, unpack_state
from tests.unit.building import DAY, MINUTE, T0, at, event, folded

NOW = t.minutes(T0)


def touch(state: UserState, item_id: str) -> Touch:
    return t.unpack(state.items[item_id])


@pytest.mark.parametrize(
    ("name", "fields", "signal"),
    [
        ("view", {}, t.VIEW),
        ("click", {}, t.CLICK),
        ("cart", {}, t.CART),
        ("uncart", {}, t.UNCART),
        ("review", {"text": "fits"}, t.REVIEW),
        ("rating", {"value": 5}, t.LIKED),
        ("rating", {"value": 4}, t.LIKED),
        ("rating", {"value": 3.9}, t.REVIEW),
        ("rating", {"value": 2.1}, t.REVIEW),
        ("rating", {"value": 2}, t.DISLIKED),
        ("rating", {"value": 0}, t.DISLIKED),
    ],
)
def test_a_touch_leaves_its_signal(name: str, fields: dict[str, object], signal: int) -> None:
    state = folded((event(name, item_id="a", **fields), T0))
    assert touch(state, "a") == Touch(NOW, signal, 1, 0, 0.0, 0)


def test_the_latest_touched_is_last() -> None:
    state = folded(*((event("view", item_id=item), at(n)) for n, item in enumerate("abca")))
    assert list(state.items) == ["b", "c", "a"]
    assert touch(state, "a").touches == 2


def test_the_cart() -> None:
    state = folded(*((event("cart", item_id=item), at(n)) for n, item in enumerate("abcb")))
    assert state.cart == ("a", "c", "b")
    assert folded((event("uncart", item_id="c"), at(9)), state=state).cart == ("a", "b")
    assert folded((event("uncart", item_id="z"), at(9)), state=state).cart == ("a", "c", "b")
    assert folded((event("purchase", item_id="a"), at(9)), state=state).cart == ("c", "b")
    assert folded((event("purchase", item_id="z"), at(9)), state=state).cart == ("a", "c", "b")


def test_queries_are_kept_the_latest_first_and_each_once() -> None:
    state = folded(*((event("search", query=query), at(n)) for n, query in enumerate("abcdefb")))
    assert state.queries == ("b", "f", "e", "d", "c")
    assert folded((event("search", query="x" * 1_000), T0)).queries == ("x" * u.MAX_QUERY_LENGTH,)


@pytest.mark.parametrize("other", ["impression", "request"])
def test_what_was_only_shown_changes_no_interest(other: str) -> None:
    before = folded((event("cart", item_id="a"), T0))
    after = fold(before, event(other, request_id="r", items=["b"]), at(1))
    assert after == UserState(last_ms=at(1), session_ms=T0, items=before.items, cart=before.cart)


class TestBaskets:
    def test_lines_of_one_order_are_one_basket(self) -> None:
        lines = [event("purchase", item_id=item, order_id="o1") for item in "aab"]
        state = folded(*((line, T0) for line in lines))
        assert state.baskets == 1
        assert touch(state, "a").bought == touch(state, "b").bought == 1

    def test_an_order_may_take_its_time(self) -> None:
        state = folded(
            (event("purchase", item_id="a", order_id="o"), T0), (event("purchase", item_id="b", order_id="o"), at(3))
        )
        assert (state.baskets, touch(state, "a").last_min, touch(state, "b").last_min) == (1, NOW, NOW + 3)

    def test_without_an_order_id_the_time_tells(self) -> None:
        lines = [(event("purchase", item_id=item), at(n)) for n, item in ((0, "a"), (0, "b"), (0.5, "a"))]
        state = folded(*lines)
        assert state.baskets == 2
        assert touch(state, "a").bought == 2
        assert touch(state, "b").bought == 1

    def test_another_order_is_another_basket(self) -> None:
        state = folded(*((event("purchase", item_id="a", order_id=f"o{n}"), at(n * 1440)) for n in range(3)))
        assert state.baskets == touch(state, "a").bought == 3
        assert touch(state, "a").span_days == 2

    def test_what_was_looked_at_in_the_minute_of_the_order_was_still_bought(self) -> None:
        state = folded(
            (event("view", item_id="b"), at(0)),
            (event("purchase", item_id="a", order_id="o"), at(0.5)),
            (event("purchase", item_id="b", order_id="o"), at(0.5)),
        )
        assert touch(state, "b") == Touch(NOW, t.PURCHASE, 1, 1, 1.0, 0)

    def test_quantity_is_no_number_of_baskets(self) -> None:
        assert touch(folded((event("purchase", item_id="a", quantity=9), T0)), "a").bought == 1


class TestRepeats:
    def test_a_repeat_is_the_state_itself(self) -> None:
        one = event("purchase", item_id="a", event_id="e1")
        state = fold(EMPTY, one, T0)
        assert fold(state, one, T0) is state
        assert fold(state, one, at(60)) is state

    def test_no_event_but_a_repeat_is_the_state_itself(self) -> None:
        state = folded((event("search", query="q"), T0))
        for same in (event("search", query="q"), event("uncart", item_id="z"), event("request", request_id="r")):
            assert fold(state, same, T0) is not state

    def test_without_an_event_id_repeats_cant_be_told(self) -> None:
        one = event("view", item_id="a")
        assert touch(folded((one, T0), (one, T0)), "a").touches == 2

    def test_the_last_ids_are_remembered(self) -> None:
        events = [event("view", item_id="a", event_id=f"e{n}") for n in range(u.MAX_SEEN + 1)]
        state = folded(*((one, T0) for one in events))
        assert all(fold(state, one, T0) is state for one in events[1:])
        assert fold(state, events[0], T0) is not state
        assert len(state.seen) == u.MAX_SEEN * u.ID_BYTES

    def test_an_id_is_remembered_as_a_whole(self) -> None:
        one, other = (u._digest(name) for name in ("e1", "e2"))  # noqa: SLF001 (the law is about the digests)
        assert not u._remembers(one + other, one[4:] + other[:4])  # noqa: SLF001
        assert u._remembers(one[4:] + other[:4] + one[:4] + other[4:] + one, one)  # noqa: SLF001


class TestForget:
    def test_nothing_stays(self) -> None:
        state = folded((event("cart", item_id="a", event_id="e1"), T0), (event("forget", event_id="e2"), at(1)))
        assert state == EMPTY

    def test_it_is_no_repeat_even_of_nothing(self) -> None:
        assert fold(EMPTY, event("forget"), T0) is not EMPTY


class TestTime:
    def test_a_session_ends_after_a_silence(self) -> None:
        gap = u.SESSION_GAP_MS // MINUTE
        state = folded((event("view", item_id="a"), T0), (event("view", item_id="b"), at(gap)))
        assert state.session_ms == T0
        assert folded((event("view", item_id="c"), at(2 * gap + 0.01)), state=state).session_ms == at(2 * gap + 0.01)

    def test_a_late_event_doesnt_turn_time_back(self) -> None:
        state = folded((event("view", item_id="a"), T0), (event("view", item_id="b"), T0 - 30 * DAY))
        assert (state.last_ms, state.session_ms) == (T0, T0)
        assert touch(state, "b").last_min == t.minutes(T0 - 30 * DAY)

    def test_expiry_is_decided_by_event_time(self) -> None:
        state = folded((event("cart", item_id="a", event_id="e"), T0))
        last = T0 + u.EXPIRES_AFTER_MS
        assert current(state, last) is state
        assert current(state, last + 1) is EMPTY
        assert set(folded((event("view", item_id="b"), last), state=state).items) == {"a", "b"}
        assert folded((event("view", item_id="b"), last + 1), state=state) == folded(
            (event("view", item_id="b"), last + 1)
        )
        assert "a" in folded((event("cart", item_id="a", event_id="e"), last + 1), state=state).items


class TestBounds:
    def test_the_item_touched_longest_ago_goes_first(self) -> None:
        state = folded(*((event("view", item_id=f"i{n}"), at(n)) for n in range(u.MAX_ITEMS)))
        state = folded((event("view", item_id="i0"), at(2_000)), (event("view", item_id="new"), at(2_001)), state=state)
        assert len(state.items) == u.MAX_ITEMS
        assert "i1" not in state.items
        assert {"i0", "i2", "new"} <= set(state.items)

    def test_the_cart_is_bounded(self) -> None:
        state = folded(*((event("cart", item_id=f"i{n}"), at(n)) for n in range(u.MAX_CART + 2)))
        assert state.cart == tuple(f"i{n}" for n in range(2, u.MAX_CART + 2))

    def test_a_state_of_20_events_is_small(self) -> None:
        """450 bytes a user in Redis, 70 of them for key and object, is the goal; 6 more for each event id."""
        kinds = ["view"] * 12 + ["click"] * 4 + ["cart"] * 2 + ["purchase"] * 2
        steps = [
            (event(kind, item_id=f"sku-{n * 7919:06d}", event_id=f"7f1c{n:032x}"), at(n))
            for n, kind in enumerate(kinds)
        ]
        assert len(pack_state(folded(*steps))) <= 500
        without_ids = [(event(kind, item_id=f"sku-{n * 7919:06d}"), at(n)) for n, kind in enumerate(kinds)]
        assert len(pack_state(folded(*without_ids))) <= 380


def test_packing_loses_nothing_and_keeps_the_order() -> None:
    state = folded(
        (event("cart", item_id="ü"), T0), (event("search", query="用户", event_id="e"), at(1)),
        (event("purchase", item_id="b"), at(2)), (event("purchase", item_id="b"), T0 + 3_000 * DAY - 1),
        (event("view", item_id="a"), at(3)),
    )  # fmt: skip
    packed = pack_state(state)
    assert unpack_state(packed) == state
    assert list(unpack_state(packed).items) == list(state.items)
    assert pack_state(unpack_state(packed)) == packed
    u.check_state(packed)


def test_the_fold_leaves_its_input_alone() -> None:
    state = folded((event("cart", item_id="a", event_id="e0"), T0), (event("search", query="q"), T0))
    packed = pack_state(state)
    absorb = ev.Absorb(user_id="u1", anonymous_id="x", state=packed)
    rest = [
        event(name, item_id="a", request_id="r", items=["a"], query="z", value=1, text="", login="v", event_id="e1")
        for name in (
            "view", "click", "cart", "uncart", "purchase", "rating", "review", "search", "impression", "request",
            "forget", "alias",
        )
    ]  # fmt: skip
    for one in (absorb, *rest):
        assert fold(state, one, at(1)) is not state
        assert pack_state(state) == packed
    assert pack_state(EMPTY) == pack_state(UserState())
