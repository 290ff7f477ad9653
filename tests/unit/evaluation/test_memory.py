"""Memory is bounded by users and items, not by the log: twice the log of the same people and things weighs the same."""

import gc
import random
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import numpy as np
import pytest

from streams.evaluation.baselines import Parameters, baselines
from streams.evaluation.log import Log
from streams.evaluation.protocols import PROTOCOLS, Chosen
from streams.evaluation.run import Asked, run
from streams.evaluation.streamrank import Streamrank
from streams.store.memory import MemoryStore
from tests.unit.building import DAY, T0, RowRanker, settings, wire
from tests.unit.evaluation.files import write

EVENTS = 6_000
USERS, ITEMS, DAYS = 25, 20, 10
_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)


def size_bytes(root: object) -> int:
    """Return what an object and all that it alone or with others refers to weigh."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, _SHARED):
            seen[id(one)] = one
            waiting += gc.get_referents(one)
    return sum(map(sys.getsizeof, seen.values()))


def lines(events: int) -> Iterator[bytes]:
    """Yield events of the same days, however many there are."""
    rng = random.Random(1)
    for n in range(events):
        kind = rng.choice(["view", "click", "cart", "purchase"])
        user, at_ms = f"u{rng.randrange(USERS)}", T0 + n * DAYS * DAY // events
        yield wire(kind, user, at_ms, item_id=f"i{rng.randrange(ITEMS)}", event_id=f"e{n}")


def fed(folder: Path, events: int) -> list[object]:
    """Return Streamrank and each baseline after a log of which nothing but the end is predicted."""
    log = Log(write(folder, lines(events)))
    streamrank, policies = Streamrank(settings(), [], RowRanker()), baselines(Parameters(bonus=0.1, half_life_days=5))
    split = Chosen(split_ms=T0 + DAYS * DAY - DAY // 24, masked=True)
    run(log, PROTOCOLS["next-basket"](split), streamrank, policies, Asked(k=5, seed=1))
    return [streamrank, *policies]


def test_what_was_learned_is_bounded_by_users_and_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The feed of changes has a bound of its own, which a log must be far longer than this to reach.
    monkeypatch.setattr("streams.evaluation.streamrank.MemoryStore", partial(MemoryStore, changes_kept=500))
    short, long = (fed(tmp_path / str(events), events) for events in (EVENTS, 2 * EVENTS))
    for once, twice in zip(short, long, strict=True):
        assert size_bytes(twice) < 1.05 * size_bytes(once)


def test_what_is_measured_sees_what_grows() -> None:
    assert size_bytes({"a": [np.zeros(1_000)]}) > 8_000
    assert size_bytes(Grown(2)) - size_bytes(Grown(1)) > 500


class Grown:
    """Holds so many kilobytes."""

    def __init__(self, kilobytes: int) -> None:
        self.held = [bytes(1_000) for _ in range(kilobytes)]
