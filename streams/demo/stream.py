"""The weeks after the cut, as they came: before each basket a request, then its lines, and faults in between.

A model of a shopper looks at each slate when it is here; what it sees and clicks are events like any other.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from streams.contracts import events as ev
from streams.demo import faults
from streams.demo.board import Board
from streams.demo.journey import Basket
from streams.demo.listen import Listener, Received
from streams.demo.publish import Publisher
from streams.demo.shopper import Shopper

MALFORMED = 3 * len(faults.KINDS)
REPEATED = 20
ANSWER_S = 30.0
"""How long to wait for the last slates and dead letters."""
_WAIT_S = 0.005

_encode = msgspec.json.Encoder().encode


class Stream:
    """Publishes baskets at a steady rate, and takes in what comes back meanwhile."""

    def __init__(
        self, publisher: Publisher, listener: Listener, board: Board, shopper: Shopper, partitions: int
    ) -> None:
        self.malformed: Counter[str] = Counter()
        self.repeated = 0
        self.sent = 0
        self.refused_at: set[tuple[int, int]] = set()
        """Where the malformed messages lie: partition and offset."""
        self._publisher = publisher
        self._listener = listener
        self._board = board
        self._shopper = shopper
        self._partitions = partitions

    @property
    def found(self) -> int:
        """How many of the malformed messages are dead letters."""
        return len(self.refused_at & self._listener.letters.keys())

    def run(
        self,
        baskets: Sequence[Basket],
        rate: float,
        meanwhile: Callable[[], object],
        halfway: Callable[[], object] = lambda: None,
    ) -> None:
        """Send everything, `rate` requests a second, and wait for all answers.

        `meanwhile` is called often, `halfway` once, before the second half.

        Raises:
            StreamrankError: a message was not taken, or the listener failed.
        """
        bad = faults.spread(MALFORMED, len(baskets))
        again = faults.spread(REPEATED, len(baskets))
        began_s = time.perf_counter()
        for n, basket in enumerate(baskets):
            self._wait(partial(_is_past, began_s + n / rate), meanwhile)
            if n == len(baskets) // 2:
                halfway()
            self._send(basket)
            for _ in again.get(n, ()):
                self._repeat(basket)
            self._inject(bad.get(n, ()), basket)
        self._publisher.flush()
        deadline_s = time.perf_counter() + ANSWER_S
        self._wait(lambda: self._complete() or _is_past(deadline_s), meanwhile)
        self._publisher.flush()

    def _send(self, basket: Basket) -> None:
        key, request_id = basket.user_id.encode(), f"demo-{basket.name}"
        request = ev.Request(
            user_id=basket.user_id,
            request_id=request_id,
            event_id=request_id,
            at_ms=basket.at_ms,
            kind="for_you",
            k=self._board.k,
        )
        value = _encode(request)
        self._board.asked(request_id, basket, time.perf_counter)
        self._publisher.send(key, value)
        self.sent += 1 + len(basket.lines)
        for line, raw in zip(basket.lines, basket.raw, strict=True):
            self._publisher.send(key, raw)
            self._board.learn(line)

    def _answered(self, received: Received) -> None:
        basket = self._board.answered(received)
        for event in [] if basket is None else self._shopper.look(received.slate, basket):
            self._publisher.send(event.user_id.encode(), _encode(event))
            self.sent += 1

    def _repeat(self, basket: Basket) -> None:
        """Send the last line again, as a producer does that missed an acknowledgement."""
        self._publisher.send(basket.user_id.encode(), basket.raw[-1])
        self.repeated += 1

    def _inject(self, kinds: Sequence[int], basket: Basket) -> None:
        now_ms = int(time.time() * 1000)
        for fault in faults.make(kinds, basket.user_id, basket.at_ms, now_ms, self._partitions):
            self.malformed[fault.kind] += 1
            self._publisher.send(fault.key, fault.value, fault.partition, lambda p, o: self.refused_at.add((p, o)))

    def _complete(self) -> bool:
        return self._board.served == self._board.requested and self.found == self.malformed.total()

    def _wait(self, until: Callable[[], bool], meanwhile: Callable[[], object]) -> None:
        """Take in acknowledgements and slates until the condition holds; once at least."""
        while True:
            while self._listener.slates:
                self._answered(self._listener.slates.popleft())
            self._listener.raise_if_failed()
            meanwhile()
            if until():
                return
            self._publisher.poll(_WAIT_S)


def _is_past(moment_s: float) -> bool:
    return time.perf_counter() >= moment_s
