"""An anonymous history moves to its login: `alias` erases it here, `absorb` brings it there."""

import itertools

from streams.contracts import events as ev
from streams.features import touch as t
from streams.features import user as u
from streams.features.user import EMPTY, UserState, fold, pack_state
from tests.unit.building import MINUTE, T0, at, event, folded

ANONYMOUS = folded(
    (event("view", "a", item_id="x"), T0),
    (event("purchase", "a", item_id="both"), at(1)),
    (event("search", "a", query="red"), at(2)),
    (event("cart", "a", item_id="y"), at(3)),
)
OWN = folded(
    (event("purchase", item_id="both"), at(-2 * 1440)),
    (event("search", query="blue"), at(-1)),
    (event("cart", item_id="z"), at(-1)),
)


def absorb(state: UserState = ANONYMOUS, event_id: str = "absorb-0-1-2") -> ev.Absorb:
    return ev.Absorb(user_id="u1", anonymous_id="a", event_id=event_id, state=pack_state(state))


def test_an_alias_leaves_nothing_behind() -> None:
    assert fold(ANONYMOUS, event("alias", "a", login="u1"), at(4)) == EMPTY


def test_an_alias_of_oneself_moves_nothing() -> None:
    assert fold(OWN, event("alias", "u1", login="u1"), at(4)).items == OWN.items


def test_both_histories_come_together() -> None:
    state = fold(OWN, absorb(), at(4))
    assert set(state.items) == {"x", "y", "z", "both"}
    assert t.unpack(state.items["both"])[:4] == (t.minutes(at(1)), t.PURCHASE, 0, 2)
    assert t.unpack(state.items["both"]).span_days == 2
    assert list(state.items) == ["z", "x", "both", "y"]
    assert set(state.cart) == {"y", "z"}
    assert set(state.queries) == {"red", "blue"}
    assert state.baskets == 2
    assert state.last_ms == at(4)


def test_a_new_login_gets_the_whole_history() -> None:
    state = fold(EMPTY, absorb(), at(4))
    assert (state.items, state.cart, state.queries, state.baskets) == (
        ANONYMOUS.items, ANONYMOUS.cart, ANONYMOUS.queries, ANONYMOUS.baskets,
    )  # fmt: skip


def test_a_repeated_absorb_is_harmless_at_any_later_time() -> None:
    state = fold(OWN, absorb(), at(4))
    assert fold(state, absorb(), at(4)) is state
    later = folded(*((event("view", item_id=f"i{n}", event_id=f"e{n}"), at(5 + n)) for n in range(40)), state=state)
    assert fold(later, absorb(), at(90)) is later


def test_each_of_several_absorbs_counts_once() -> None:
    absorbs = [absorb(event_id=f"absorb-0-1-{n}") for n in range(u.MAX_ABSORBED)]
    state = folded(*((one, at(4)) for one in absorbs))
    assert state.baskets == u.MAX_ABSORBED
    assert all(fold(state, one, at(5)) is state for one in absorbs)
    more = folded(*((absorb(event_id=f"later-{n}"), at(6)) for n in range(30)), state=state)
    assert len(more.absorbed) == u.ID_BYTES * u.MAX_ABSORBED


def test_what_is_absorbed_doesnt_depend_on_the_order_of_absorbs() -> None:
    others = [
        folded((event("purchase", item_id=item), at(n)), (event("view", item_id="s"), at(n)))
        for n, item in enumerate("abc")
    ]
    absorbs = [absorb(state, f"e{n}") for n, state in enumerate(others)]
    results = {
        tuple(sorted(folded(*((one, at(9)) for one in order), state=OWN).items.items()))
        for order in itertools.permutations(absorbs)
    }
    assert len(results) == 1


def test_a_merged_history_stays_bounded() -> None:
    many = [
        folded(*((event("view", item_id=f"{side}{n}"), T0 + n * MINUTE + 1) for n in range(u.MAX_ITEMS)))
        for side in "ab"
    ]
    state = fold(many[0], absorb(many[1]), at(2_000))
    assert len(state.items) == u.MAX_ITEMS
    assert {"a999", "b999"} <= set(state.items)
    assert not {"a0", "b0"} & set(state.items)
