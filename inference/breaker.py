"""A circuit breaker: after a few failures in a row stop asking, and after a pause try one call.

Closed: calls pass. Open: they are refused at once, so a dead Triton costs no deadline per batch. Half-open:
one call passes as a probe; its outcome closes or reopens. Time comes from the caller's clock.
"""

from collections.abc import Callable
from typing import Literal

from inference.ranker import Ranked, Ranker, RankerInputs
from streams.errors import RankerUnavailable

Clock = Callable[[], float]


class CircuitBreaker:
    """Counts failures in a row and answers whether a call may pass.

    `failures_to_open` failures in a row open it; `cool_down_s` later one probe may pass, and if that never
    reports (its caller was cancelled) another one a cool-down after it.
    """

    def __init__(self, clock: Clock, failures_to_open: int = 3, cool_down_s: float = 1.0) -> None:
        self._clock = clock
        self._failures_to_open = failures_to_open
        self._cool_down_s = cool_down_s
        self._failures = 0
        self._retry_at = 0.0
        self._probing = False
        self.because = ""

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """Where it stands; `because` says what failed last."""
        if self._failures < self._failures_to_open:
            return "closed"
        return "half-open" if self._probing else "open"

    def allows(self) -> bool:
        """Tell whether a call may pass now; a yes while not closed is the probe, so report its outcome."""
        if self.state == "closed":
            return True
        now = self._clock()
        if now < self._retry_at:
            return False
        self._probing, self._retry_at = True, now + self._cool_down_s
        return True

    def succeeded(self) -> None:
        """Close: a call was answered."""
        self._failures, self._probing, self.because = 0, False, ""

    def failed(self, because: str) -> None:
        """Count a failure; at the limit, or if it was the probe, open for a cool-down."""
        self._failures += 1
        self._probing, self.because = False, because
        self._retry_at = self._clock() + self._cool_down_s


class GuardedRanker:
    """A ranker behind a breaker: while open, `RankerUnavailable` at once, with the reason it opened for."""

    def __init__(self, ranker: Ranker, breaker: CircuitBreaker) -> None:
        self._ranker = ranker
        self.breaker = breaker

    async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
        """Rank, or raise `RankerUnavailable`; only that error counts as a failure of the server."""
        if not self.breaker.allows():
            raise RankerUnavailable(f"circuit open: {self.breaker.because}")
        try:
            ranked = await self._ranker.rank(inputs, timeout_s)
        except RankerUnavailable as exc:
            self.breaker.failed(str(exc))
            raise
        self.breaker.succeeded()
        return ranked
