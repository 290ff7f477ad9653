"""Which lines of a log are wanted."""

import pytest

from streams.contracts import topics
from streams.contracts.wire import decode
from streams.errors import BadEvent
from streams.replay import Selection
from streams.replay.lines import HEADS

T = 1_500_000_000_000


def takes(selection: Selection, line: str) -> bool:
    return selection.takes(decode(HEADS[topics.EVENTS], line.encode()))


def line(user: str = "u1", at_ms: int | None = T, kind: str = '"click"') -> str:
    time = "" if at_ms is None else f',"at_ms":{at_ms}'
    return f'{{"type":{kind},"user_id":"{user}"{time}}}'


def test_without_a_filter_every_line_is_wanted() -> None:
    assert all(takes(Selection(), one) for one in (line(), line(at_ms=None), line(kind="7"), '{"user_id":"u"}'))


def test_a_window_holds_its_beginning_and_not_its_end() -> None:
    window = Selection(since_ms=T, until_ms=T + 10)
    assert [at for at in range(T - 1, T + 12) if takes(window, line(at_ms=at))] == list(range(T, T + 10))
    assert takes(Selection(since_ms=T), line(at_ms=T + 10**9))
    assert takes(Selection(until_ms=T), line(at_ms=T - 10**9))


@pytest.mark.parametrize("window", [Selection(since_ms=T), Selection(until_ms=T)])
def test_an_event_without_a_time_lies_in_no_window(window: Selection) -> None:
    assert not takes(window, line(at_ms=None))


def test_all_that_is_given_must_fit_and_one_of_several_is_enough() -> None:
    selection = Selection(since_ms=T, users=frozenset({"u1", "u2"}), types=("click", "cart"))
    assert takes(selection, line("u2", kind='"cart"'))
    assert not takes(selection, line("u3", kind='"cart"'))
    assert not takes(selection, line("u2", kind='"view"'))
    assert not takes(selection, line("u2", T - 1, '"cart"'))


@pytest.mark.parametrize("kind", ["[1]", '{"a":1}', "null", "7"])
def test_a_type_that_is_no_string_is_no_known_one(kind: str) -> None:
    assert not takes(Selection(types=("click",)), line(kind=kind))


def test_a_time_in_another_unit_is_no_event() -> None:
    with pytest.raises(BadEvent, match="at_ms"):
        takes(Selection(since_ms=T), line(at_ms=T // 1000))
