import asyncio

import numpy as np
import pytest

from inference.breaker import CircuitBreaker, GuardedRanker
from inference.ranker import Ranked, RankerInputs
from streams.errors import RankerUnavailable

INPUTS = RankerInputs.zeros(1, 2)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Scripted:
    """Fails while `down`, and counts who asked."""

    down = True
    calls = 0

    async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
        self.calls += 1
        if self.down:
            raise RankerUnavailable("no answer")
        return Ranked(np.zeros((1, 2, 3), np.float32), "ranker/1")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(clock: Clock) -> CircuitBreaker:
    breaker = CircuitBreaker(clock, failures_to_open=2, cool_down_s=1.0)
    states = []
    for because in ("first", "second"):
        breaker.failed(because)
        states.append(breaker.state)
    assert states == ["closed", "open"]
    return breaker


def test_a_success_forgets_earlier_failures(clock: Clock) -> None:
    breaker = CircuitBreaker(clock, failures_to_open=2)
    for _ in range(5):
        breaker.failed("once")
        breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.allows()


def test_open_refuses_until_the_cool_down_and_then_lets_one_probe_through(clock: Clock) -> None:
    breaker = opened(clock)
    assert not breaker.allows()
    clock.now_s = 1.0
    assert breaker.allows()
    assert (breaker.state, breaker.allows()) == ("half-open", False)
    breaker.succeeded()
    assert (breaker.state, breaker.allows()) == ("closed", True)


def test_a_failed_probe_opens_for_another_cool_down(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now_s = 1.0
    assert breaker.allows()
    breaker.failed("still away")
    assert (breaker.state, breaker.because) == ("open", "still away")
    clock.now_s = 1.9
    assert not breaker.allows()
    clock.now_s = 2.0
    assert breaker.allows()


def test_a_probe_that_never_reports_does_not_keep_it_open_for_ever(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now_s = 1.0
    assert breaker.allows()
    clock.now_s = 2.0
    assert breaker.allows()


def test_a_guarded_ranker_stops_asking_says_why_and_recovers(clock: Clock) -> None:
    server = Scripted()
    guarded = GuardedRanker(server, CircuitBreaker(clock, failures_to_open=2, cool_down_s=1.0))

    async def rank() -> Ranked:
        return await guarded.rank(INPUTS, 0.1)

    for _ in range(2):
        with pytest.raises(RankerUnavailable, match=r"^no answer"):
            asyncio.run(rank())
    with pytest.raises(RankerUnavailable, match="circuit open: no answer"):
        asyncio.run(rank())
    assert server.calls == 2
    server.down, clock.now_s = False, 1.0
    assert asyncio.run(rank()).model == "ranker/1"
    assert guarded.breaker.state == "closed"
