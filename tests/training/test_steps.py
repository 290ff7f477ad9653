"""A step is what a user did next; what came of its items in the rest of the visit labels them."""

import pytest

from streams.evaluation.base import Signal
from streams.features.user import SESSION_GAP_MS
from training.steps import DEPTHS, Step, find_steps

MINUTE_MS = 60_000


def signal(kind: str, minute: float, item: str, user: str = "u", basket: str | None = None) -> Signal:
    at_ms = 1_700_000_000_000 + round(minute * MINUTE_MS)
    return Signal(user, item, at_ms, kind, str(at_ms) if basket is None else basket)


def steps(*signals: Signal) -> list[Step]:
    return sorted(find_steps(enumerate(signals)), key=lambda step: step.number)


def test_the_lines_of_an_order_are_one_step() -> None:
    (step,) = steps(*(signal("purchase", n, item, basket="1") for n, item in enumerate("abca")))
    assert step == Step("u", signal("purchase", 0, "a").at_ms, 0, "1", {"a": 3, "b": 3, "c": 3})


def test_every_other_signal_is_a_step_of_its_own() -> None:
    made = steps(signal("click", 0, "a"), signal("click", 0, "b"), signal("view", 1, "a"), signal("cart", 1, "c"))
    assert [(step.number, step.items) for step in made] == [(0, {"a": 1}), (1, {"b": 1}), (2, {"a": 1}), (3, {"c": 2})]


def test_other_orders_are_other_steps() -> None:
    made = steps(signal("purchase", 0, "a", basket="1"), signal("purchase", 0, "b", basket="2"))
    assert [(step.number, step.items) for step in made] == [(0, {"a": 3}), (1, {"b": 3})]


def test_users_between_the_lines_of_an_order_dont_part_it() -> None:
    made = steps(
        signal("purchase", 0, "a", "u", "1"), signal("purchase", 0, "a", "v", "1"), signal("purchase", 0, "b", "u", "1")
    )
    assert [(step.user_id, step.items) for step in made] == [("u", {"a": 3, "b": 3}), ("v", {"a": 3})]


def test_depth_grows_with_what_follows_in_the_visit_and_never_shrinks() -> None:
    made = steps(
        signal("click", 0, "a"), signal("click", 1, "b"), signal("cart", 2, "a"), signal("purchase", 3, "a"),
        signal("view", 4, "a"),
    )  # fmt: skip
    assert [step.items for step in made] == [{"a": 3}, {"b": 1}, {"a": 3}, {"a": 3}, {"a": 1}]


@pytest.mark.parametrize(("pause_ms", "depth"), [(SESSION_GAP_MS, 3), (SESSION_GAP_MS + 1, 1)])
def test_a_visit_ends_with_silence(pause_ms: int, depth: int) -> None:
    made = steps(signal("click", 0, "a"), signal("purchase", pause_ms / MINUTE_MS, "a"))
    assert made[0].items == {"a": depth}


def test_what_another_user_does_says_nothing() -> None:
    made = steps(signal("click", 0, "a", "u"), signal("purchase", 1, "a", "v"))
    assert [step.items for step in made] == [{"a": 1}, {"a": 3}]


def test_every_signal_lies_in_exactly_one_step() -> None:
    kinds = list(DEPTHS)
    signals = [
        signal(kinds[n * 7 % len(kinds)], n * 5, f"i{n * 3 % 4}", f"u{n * 11 % 3}", f"{n // 4}") for n in range(200)
    ]
    made = steps(*signals)
    assert len({step.number for step in made}) == len(made)
    for step in made:
        one = signals[step.number]
        assert (step.user_id, step.at_ms) == (one.user_id, one.at_ms)
        assert step.items[one.item_id] >= DEPTHS[one.kind]
    orders = {(one.user_id, one.basket) for one in signals if one.kind == "purchase"}
    others = sum(one.kind != "purchase" for one in signals)
    assert others < len(made) <= others + sum(one.kind == "purchase" for one in signals)
    assert orders == {(step.user_id, step.basket) for step in made if step.basket is not None}
