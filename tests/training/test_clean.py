"""What is left out of a training: repeats, robots and absurd amounts, each counted, and nothing of an ordinary shop."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from streams.evaluation.log import Entry, Log
from tests.training.conftest import DAY_MS, FIRST_MS, Event, lists_of, shop, write_log
from training.clean import DAY_MS as A_DAY_MS
from training.clean import Cleaner
from training.recipe import Cleaning

RULES = Cleaning()


def entries(events: Iterable[Event]) -> list[Entry]:
    """Return events as a log would give them, in order of time."""
    from streams.contracts.events import decode_event

    made = []
    for line, one in enumerate(sorted(events, key=lambda one: one["at_ms"])):
        raw = json.dumps(one).encode()
        made.append(Entry(line, raw, decode_event(raw), one["at_ms"]))  # type: ignore[arg-type]
    return made


def purchase(user: str, at_ms: int, item: str = "i1", **fields: Any) -> Event:
    return {"type": "purchase", "user_id": user, "at_ms": FIRST_MS + at_ms, "item_id": item} | fields


def kept(events: list[Event], rules: Cleaning = RULES) -> tuple[list[int], dict[str, int]]:
    """Return the numbers of the signals that are learned from, and what was left out."""
    log = entries(events)
    cleaner = Cleaner.survey(log, rules)
    return [number for number, _ in cleaner.signals(log)], cleaner.told()


def test_an_ordinary_shop_is_learned_whole(log: Path) -> None:
    cleaner = Cleaner.survey(Log(log), RULES)
    assert len(list(cleaner.signals(Log(log)))) == len(shop())
    assert not any(cleaner.told().values())


def test_a_repeat_within_a_moment_is_left_out() -> None:
    events = [
        purchase("u", 0, event_id="a", order_id="1"),
        purchase("u", 900, event_id="b", order_id="1"),  # repeats the first
        purchase("u", 1_800, event_id="c", order_id="1"),  # and the second
        purchase("u", 2_900, order_id="1"),  # not within a moment
        purchase("v", 2_950, order_id="1"),  # another user
        purchase("u", 2_960, order_id="2"),  # another order
        purchase("u", 2_970, order_id="2", quantity=2),  # another line of it
        purchase("u", 2_980, "i2", order_id="2", quantity=2),  # another item
    ]
    numbers, left_out = kept(events, Cleaning(repeat_ms=1_000))
    assert numbers == [0, 3, 4, 5, 6, 7]
    assert left_out == {"robot_users": 0, "repeats": 2, "robots": 0, "absurd": 0}
    assert kept([*events, events[0] | {"event_id": "z"}])[1]["repeats"] == 1, "by default at the same millisecond"


def test_clicks_that_say_the_same_are_repeats_and_views_between_them_change_nothing() -> None:
    def one(kind: str, at_ms: int) -> Event:
        return {"type": kind, "user_id": "u", "at_ms": FIRST_MS + at_ms, "item_id": "i1"}

    assert kept([one("click", 0), one("view", 100), one("click", 200)], Cleaning(repeat_ms=1_000))[0] == [0, 1]


def test_a_robot_is_left_out_and_a_large_basket_is_none() -> None:
    """A basket is one moment, however many lines it has."""
    people = [purchase(f"u{n % 50}", n * DAY_MS // 10 + n, f"i{n % 7}") for n in range(500)]
    basket = [purchase("u1", 3 * DAY_MS, f"b{n}", order_id="large") for n in range(900)]
    robot = [purchase("robot", 4 * DAY_MS + n * 60_000, f"i{n % 7}") for n in range(900)]
    assert kept(people + basket + robot)[1] == {"robot_users": 1, "robots": 900, "repeats": 0, "absurd": 0}
    assert A_DAY_MS == DAY_MS


def test_where_all_are_busy_nobody_is_a_robot() -> None:
    """The rule compares with what is usual: here 310 to 390 moments a day."""
    busy = [purchase(f"u{n}", day * DAY_MS + m * 60_000, f"i{m}") for n in range(9)
            for day in range(2) for m in range(310 + 10 * n)]  # fmt: skip
    assert kept(busy)[1]["robots"] == 0
    assert kept(busy, Cleaning(robot_deviations=1.0))[1]["robot_users"] > 0


@pytest.mark.parametrize("name", ["quantity", "price"])
def test_an_amount_far_from_its_items_own_is_left_out(name: str) -> None:
    """Fuel sold by the thousand is as usual as bread sold by the piece; an item sold rarely has no usual amount."""
    fuel = [purchase(f"u{n}", n * DAY_MS, "fuel", **{name: 3_000 + n}) for n in range(20)]
    bread = [purchase(f"u{n}", n * DAY_MS + 1, "bread", **{name: 1 + n % 3}) for n in range(20)]
    rare = [purchase("u1", 2, "rare", **{name: amount}) for amount in (1, 9_000)]
    slip = [purchase("u1", 3, "bread", **{name: 5_000}), purchase("u1", 4, "fuel", **{name: 9})]
    log = fuel + bread + rare + slip
    numbers, left_out = kept(log)
    assert left_out == {"robot_users": 0, "repeats": 0, "robots": 0, "absurd": 2}
    in_order = sorted(log, key=lambda one: one["at_ms"])
    assert [in_order[number] for number in set(range(len(log))) - set(numbers)] == slip


def test_an_item_given_away_is_not_absurd() -> None:
    events = [purchase(f"u{n}", n * DAY_MS, price=0.0 if n % 2 else 5.0) for n in range(30)]
    assert kept(events)[1]["absurd"] == 0


def test_what_is_left_out_is_folded_all_the_same_and_counted(log: Path, tmp_path: Path) -> None:
    """A robot fills counters as it does at the worker's, but no list is its own, and none of its steps is learned."""
    first_ms = shop()[0]["at_ms"]
    robot = [
        {"type": "click", "user_id": "robot", "at_ms": first_ms + n * 60_000, "item_id": f"i{n % 50}"}
        for n in range(1_400)
    ]
    events = sorted(shop() + robot, key=lambda event: event["at_ms"])
    repeats = [events[0] | {"event_id": events[0]["event_id"]}]
    made = lists_of(write_log(tmp_path / "log", repeats + events), tmp_path / "lists")
    plain = lists_of(log, tmp_path / "plain")
    assert made.meta["left_out"] == {
        "robot_users": 1, "robots": 1_400, "repeats": 0, "absurd": 0, "repeated_event_ids": 1, "rejected": 0,
    }  # fmt: skip
    for name in ("steps", "users", "items", "lists", "signals"):
        assert made.meta[name] == plain.meta[name], name
    assert made.sequences.items.tolist() == plain.sequences.items.tolist()
    assert made.whole("train").users.tolist() == plain.whole("train").users.tolist()
    assert made.whole("train").features.sum() != plain.whole("train").features.sum()
