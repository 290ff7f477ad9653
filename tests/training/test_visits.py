"""A visit is a run of a user's events; what it holds is how deep each item went."""

import json

import pytest

from streams.errors import Misuse
from training.visits import day_ms, find_visits

MINUTE_MS = 60_000


def line(number: int, kind: str, minute: float, item: str, **more: object) -> tuple[int, bytes]:
    event = {"type": kind, "user_id": "u", "at_ms": 1_700_000_000_000 + round(minute * MINUTE_MS), "item_id": item}
    return number, json.dumps(event | more).encode()


def test_the_deepest_event_of_an_item_counts() -> None:
    (visit,) = find_visits(
        [line(1, "view", 0, "a"), line(2, "cart", 1, "a"), line(3, "click", 2, "b"), line(4, "purchase", 3, "a")]
    )
    assert visit.items == {"a": 3, "b": 1}
    assert visit.bought == 1
    assert visit.line == 1


def test_a_pause_or_another_order_begins_another_visit() -> None:
    visits = list(
        find_visits(
            [
                line(1, "click", 0, "a"),
                line(2, "click", 31, "b"),
                line(3, "purchase", 32, "b", order_id="1"),
                line(4, "purchase", 32, "c", order_id="2"),
            ]
        )
    )
    assert [visit.items for visit in visits] == [{"a": 1}, {"b": 3}, {"c": 3}]


@pytest.mark.parametrize(
    "raw", [b"{", b'{"type":"click","user_id":"u","item_id":"a"}', b'{"type":"odd","user_id":"u","at_ms":1}']
)
def test_a_line_that_is_no_event_with_a_time_is_named(raw: bytes) -> None:
    with pytest.raises(Misuse, match="line 7 of the event log"):
        list(find_visits([(7, raw)]))


def test_a_day_that_is_none_is_refused() -> None:
    with pytest.raises(Misuse, match="is not a day"):
        day_ms("2017-13-01")
