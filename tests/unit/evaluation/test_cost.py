"""The cost of a slate is a ratio of two sides that answer the same cases in turn."""

from collections.abc import Sequence

import pytest

from inference.tensors import MAX_BATCH_SIZE
from streams.evaluation.base import Case
from streams.evaluation.cost import BATCHES, cost
from streams.evaluation.streamrank import Answer, Streamrank

CASES = [Case(f"u{n}", 0, (), ("t",)) for n in range(5)]


class Clocked(Streamrank):
    """Answers nothing, notes what it was asked, and lets a clock tick so many ms a slate."""

    def __init__(self, name: str, slate_ms: float, clock: list[float], asked: list[tuple[str, list[Case]]]) -> None:
        self.label, self.slate_ms_each, self.clock, self.asked = name, slate_ms, clock, asked

    def rank(self, cases: Sequence[Case], k: int) -> list[Answer]:
        # Every fourth time both are asked, the machine is busy with something else and takes ten times as long.
        busy = 10 if len(self.asked) // 2 % 4 == 0 else 1
        self.asked.append((self.label, list(cases)))
        self.clock[0] += busy * self.slate_ms_each * len(cases) / 1000
        return []


def timed(
    monkeypatch: pytest.MonkeyPatch, a_ms: float, b_ms: float
) -> tuple[dict[str, float], list[tuple[str, list[Case]]]]:
    """Return the cost, and who was asked what."""
    clock = [0.0]
    asked: list[tuple[str, list[Case]]] = []
    monkeypatch.setattr("streams.evaluation.cost.time.perf_counter", lambda: clock[0])
    return cost(Clocked("a", a_ms, clock, asked), Clocked("b", b_ms, clock, asked), CASES, 10), asked


def test_it_is_the_ratio_of_the_times_of_a_slate(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = timed(monkeypatch, 0.5, 0.75)
    assert found["slate_ms_ratio"] == pytest.approx(1.5)
    assert (found["a_slate_ms_median"], found["b_slate_ms_median"]) == pytest.approx((0.5, 0.75))
    assert (found["a_slate_ms_p99"], found["b_slate_ms_p99"]) == pytest.approx((5.0, 7.5))


def test_both_answer_the_same_and_neither_is_always_first(monkeypatch: pytest.MonkeyPatch) -> None:
    _, asked = timed(monkeypatch, 1.0, 1.0)
    assert len(asked) == 2 * BATCHES
    first = [name for name, _ in asked[::2]]
    assert first.count("a") == first.count("b")
    for (_, one), (_, other) in zip(asked[::2], asked[1::2], strict=True):
        assert one == other
        assert len(one) == MAX_BATCH_SIZE
