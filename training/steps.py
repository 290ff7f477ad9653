"""The steps of a log: what a user did next, which is what a slate shown just before should have held.

The lines of an order are one step, every other signal is one of its own. An item's depth is the deepest thing that
happened to it in the rest of the visit: a click that a purchase followed counts as a purchase. Since a purchase implies
that the item was clicked and carted, depths are labels of the kind "at least this deep".
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streams.evaluation.base import Signal
from streams.features.user import SESSION_GAP_MS

DEPTHS = {"view": 1, "click": 1, "rating": 1, "review": 1, "cart": 2, "purchase": 3}
"""Depth of a signal, 1 based in the order of the tensor contract's HEADS; a label of head h is depth > h."""
LOOK_BACK = 100
"""Steps of a visit that a later signal can still deepen; a robot's visit must not cost the square of its length."""


@dataclass(slots=True)
class Step:
    """One step: `number` is the place of its first signal among all signals, `items` maps each item to its depth."""

    user_id: str
    at_ms: int
    number: int
    basket: str | None
    items: dict[str, int]


def find_steps(signals: Iterable[tuple[int, Signal]]) -> Iterator[Step]:
    """Yield the steps of numbered signals, those of a visit when it has ended: after SESSION_GAP_MS of silence."""
    visits: dict[str, tuple[int, list[Step]]] = {}
    for number, one in signals:
        last_ms, steps = visits.get(one.user_id, (0, []))
        if steps and one.at_ms - last_ms > SESSION_GAP_MS:
            yield from steps
            steps = []
        depth = DEPTHS[one.kind]
        for step in steps[-LOOK_BACK:]:
            if step.items.get(one.item_id, depth) < depth:
                step.items[one.item_id] = depth
        basket = one.basket if one.kind == "purchase" else None
        if steps and basket is not None and steps[-1].basket == basket:
            steps[-1].items[one.item_id] = depth
        else:
            steps.append(Step(one.user_id, one.at_ms, number, basket, {one.item_id: depth}))
        visits[one.user_id] = (one.at_ms, steps)
    for _, steps in visits.values():
        yield from steps
