import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.contracts import events as ev
from streams.features import touch as t
from streams.features import user as u
from streams.features.counts import PAIR_UNIT, count, new_counts
from streams.features.touch import Touch
from streams.features.user import EMPTY, UserState, check_state, current, fold, pack_state, unpack_state
from tests.property.logs import fields, logs
from tests.unit.shop import Shop


def one_user(log: Sequence[dict[str, Any]]) -> list[tuple[Any, int]]:
    """Return a log as if it were all of one user, with the states that its aliases would move."""
    steps: list[tuple[Any, int]] = []
    for n, event in enumerate(log):
        decoded = ev.decode_event(json.dumps(event | {"user_id": "u1"}).encode())
        if isinstance(decoded, ev.Alias):
            state = pack_state(folded(steps[: n // 2]))
            decoded = ev.Absorb(user_id="u1", anonymous_id="a", event_id=f"a{n // 3}", state=state)
        steps.append((decoded, event["at_ms"]))
    return steps


def folded(steps: Sequence[tuple[Any, int]]) -> UserState:
    state = EMPTY
    for event, at_ms in steps:
        state = fold(state, event, at_ms)
    return state


@given(logs)
def test_a_state_stays_within_its_bounds_and_packs(log: list[dict[str, Any]]) -> None:
    state = EMPTY
    for event, at_ms in one_user(log):
        before = pack_state(state)
        after = fold(state, event, at_ms)
        assert pack_state(state) == before
        assert after.last_ms >= current(state, at_ms).last_ms or after.last_ms == 0
        packed = pack_state(after)
        check_state(packed)
        assert unpack_state(packed) == after
        assert list(unpack_state(packed).items) == list(after.items)
        assert set(after.cart) <= set(after.items)
        for word in after.items.values():
            touch = t.unpack(word)
            assert touch.rate <= touch.bought + 1 / 16 * touch.bought
            assert (touch.rate > 0 or touch.span_days > 0) <= (touch.bought > 0)
        state = after


@given(logs)
def test_what_was_just_folded_is_a_repeat(log: list[dict[str, Any]]) -> None:
    state = EMPTY
    for event, at_ms in one_user(log):
        after = fold(state, event, at_ms)
        if event.event_id is not None and not isinstance(event, ev.Forget):
            assert fold(after, event, at_ms) is after
        state = after


@given(logs, fields)
def test_every_state_can_be_encoded(log: list[dict[str, Any]], last: dict[str, Any]) -> None:
    state = folded(one_user(log))
    with np.errstate(all="raise"):
        prepared = Shop().recommender.prepare(Shop().ask("rerank", state, last["at_ms"], items=["i0", "i1", "x"]))
    assert np.isfinite(prepared.features).all()


@given(logs)
def test_counters_are_never_negative_and_pairs_never_weigh_more_than_one(log: list[dict[str, Any]]) -> None:
    counts, state = new_counts(), EMPTY
    for event, at_ms in one_user(log):
        one = new_counts()
        count(one, state, event, at_ms)
        count(counts, state, event, at_ms)
        state = fold(state, event, at_ms)
        for row, values in one.items():
            assert all(0 < value <= PAIR_UNIT for value in values.values())
            assert row[2:] not in {field.partition(":")[2] for field in values}
    assert all(value > 0 for values in counts.values() for value in values.values())


touches = st.builds(
    Touch,
    last_min=st.integers(0, 2**25 - 1),
    signal=st.integers(0, 7).filter(lambda signal: signal != t.PURCHASE),
    touches=st.integers(0, 40),
    bought=st.integers(0, 400),
    rate=st.floats(0, 400),
    span_days=st.integers(0, 9_000),
)


@given(touches)
def test_packing_a_touch_loses_only_what_saturates_or_rounds(touch: Touch) -> None:
    got = t.unpack(t.pack(touch))
    assert got[:4] == (touch.last_min, touch.signal, min(touch.touches, 15), min(touch.bought, 255))
    assert abs(got.rate - min(touch.rate, 4095 / 16)) <= 1 / 32
    assert got.span_days == min(touch.span_days, 4095)
    assert t.pack(got) == t.pack(touch)


@given(st.lists(st.integers(0, u.MAX_SEEN * 3), max_size=80))
def test_of_ids_within_reach_none_counts_twice(ids: list[int]) -> None:
    state, applied = EMPTY, []
    for n in ids:
        after = fold(state, ev.View(user_id="u1", item_id="a", event_id=f"e{n}"), 10**12)
        repeated = n in applied[-u.MAX_SEEN :]
        assert (after is state) == repeated
        applied += [] if repeated else [n]
        state = after
