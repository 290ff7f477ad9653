"""Where the times of a log go, and that nothing else of a line changes."""

import json
from typing import Any

import msgspec
import pytest

from streams.contracts import topics
from streams.contracts.events import Purchase, Request, decode_event
from streams.contracts.wire import decode
from streams.errors import BadEvent
from streams.replay import Selection, Span, Timeline, span_of
from streams.replay.lines import HEADS

T = 1_500_000_000_000
NOW = 1_790_000_000_000
HOUR = 3_600_000


def image(timeline: Timeline, line: bytes, round_: int = 0) -> bytes:
    return timeline.line(line, decode(HEADS[topics.EVENTS], line), round_)


def moved(timeline: Timeline, event: dict[str, Any], round_: int = 0) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(image(timeline, json.dumps(event).encode(), round_))
    return result


def test_original_times_leave_every_byte() -> None:
    line = b'{ "user_id":"u", "at_ms": 1500000000000, "x": 1.50 , "x": 2}'
    assert image(Timeline(), line) is line


def test_only_the_time_changes_and_what_is_unknown_survives_byte_by_byte() -> None:
    rest = (
        b'"user_id":"Gr\xc3\xb6\xc3\x9fe","x":1.50,"big":123456789012345678901234567890,"deep":{"a":[1e400,"\\u00e9"]}'
    )
    line = b'{"type":"click","at_ms":%d,%s}' % (T + 5, rest)
    assert image(Timeline(anchor_ms=(T, NOW)), line) == b'{"type":"click","at_ms":%d,%s}' % (NOW + 5, rest)


def test_a_deadline_stays_as_far_from_its_request_at_any_scale() -> None:
    request = {"type": "request", "user_id": "u", "request_id": "r", "at_ms": T + HOUR, "deadline_ms": T + HOUR + 250}
    for timeline, at_ms in ((Timeline(anchor_ms=(T, NOW)), NOW + HOUR), (Timeline(0, 4, (T, NOW)), NOW + HOUR // 4)):
        result = moved(timeline, request)
        assert (result["at_ms"], result["deadline_ms"]) == (at_ms, at_ms + 250)
        assert isinstance(decode_event(json.dumps(result).encode()), Request)


def test_a_deadline_without_a_time_is_moved_as_a_time() -> None:
    request = {"type": "request", "user_id": "u", "request_id": "r", "deadline_ms": T + 250}
    assert moved(Timeline(anchor_ms=(T, NOW)), request) == request | {"deadline_ms": NOW + 250}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "click", "user_id": "u", "deadline_ms": T},
        {"type": "request", "user_id": "u", "deadline_ms": "soon"},
        {"type": "request", "user_id": "u", "deadline_ms": None},
        {"type": "request", "user_id": "u", "deadline_ms": 10**400},
        {"type": "click", "user_id": "u", "at_ms": None},
        {"user_id": "u"},
    ],
)
def test_what_is_no_time_of_the_contract_stays(event: dict[str, Any]) -> None:
    assert moved(Timeline(anchor_ms=(T, NOW)), event) == event


def test_a_scaled_timeline_begins_when_the_first_event_is_published() -> None:
    timeline = Timeline(scale=10.0, anchor_ms=None)
    timeline.begin(T, NOW)
    timeline.begin(T + 70, NOW + 7)
    assert [timeline.moved_ms(T + 10 * n, 0) for n in (-1, 0, 1, 100)] == [NOW - 1, NOW, NOW + 1, NOW + 100]


def test_each_round_goes_on_behind_the_one_before() -> None:
    timeline = Timeline(period_ms=HOUR)
    assert [timeline.moved_ms(T + 5, n) for n in range(3)] == [T + 5, T + 5 + HOUR, T + 5 + 2 * HOUR]
    scaled = Timeline(HOUR, 2.0, (T, NOW))
    assert [scaled.moved_ms(T, n) for n in range(3)] == [NOW, NOW + HOUR // 2, NOW + HOUR]
    assert [scaled.log_ms(T, n) for n in range(3)] == [T, T + HOUR, T + 2 * HOUR]


def test_a_later_round_names_other_events_requests_orders_and_sessions_of_the_same_people_and_items() -> None:
    event = Purchase(
        user_id="u", item_id="i", event_id='e\u00e9"', request_id="r", order_id="o", session_id="s", at_ms=T, quantity=3
    )
    line = msgspec.json.encode(event)
    timeline = Timeline(period_ms=HOUR)
    assert image(timeline, line, 0) == line
    assert decode_event(image(timeline, line, 2)) == msgspec.structs.replace(
        event, event_id='e\u00e9"~3', request_id="r~3", order_id="o~3", session_id="s~3", at_ms=T + 2 * HOUR
    )


@pytest.mark.parametrize("event_id", [None, 7, ["a"]])
def test_an_id_that_is_none_gets_no_suffix(event_id: object) -> None:
    event = {"type": "view", "user_id": "u", "event_id": event_id}
    assert moved(Timeline(period_ms=HOUR), event, 1) == event


def test_a_line_whose_names_are_no_text_is_a_bad_event() -> None:
    with pytest.raises(BadEvent, match="UTF-8"):
        image(Timeline(anchor_ms=(T, NOW)), b'{"user_id":"u","\xff":1}')


def test_the_span_is_of_the_wanted_events_in_any_order() -> None:
    events = [{"user_id": user, "at_ms": T + at} for user, at in (("a", 500), ("b", 0), ("a", 100), ("a", 900))]
    lines = [json.dumps(event).encode() for event in [*events, {"user_id": "a"}, {"no": "user"}]]
    assert span_of(enumerate(lines, 1), Selection()) == Span(5, 4, T, T + 900)
    assert span_of(enumerate(lines, 1), Selection(users=frozenset("a"))) == Span(4, 3, T + 100, T + 900)
    assert span_of([], Selection()) == Span()


def test_a_period_is_the_span_and_one_mean_gap_and_at_least_a_second() -> None:
    assert Span(11, 11, T, T + 10 * HOUR).period_ms == 11 * HOUR
    assert Span(1, 1, T, T).period_ms == Span(9, 0).period_ms == Span(3, 3, T, T + 2).period_ms == 1_000
