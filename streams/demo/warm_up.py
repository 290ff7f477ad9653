"""After a bulk load the worker still reads the new catalogue and counters; a shop that runs never sees that moment.

So requests of an unknown visitor are sent one after another until answers come swiftly for a while. They are events
like any other in the account, and no part of what is measured, compared or learned: nobody looks at those slates.
"""

import time
from collections.abc import Callable

import msgspec

from streams.contracts import events as ev
from streams.demo.journey import CUT_MS
from streams.demo.listen import Listener
from streams.demo.publish import Publisher
from streams.demo.shopper import unseen

VISITOR = "demo-visitor"
SWIFT_MS = 100.0
IN_A_ROW = 10
EVERY_S = 0.1
"""Ten in a row span a second, so several refreshes of the worker's counters fall between them."""
LONGEST_S = 60.0
"""After this the measurement begins anyway, and shows how slow it is."""
_WAIT_S = 0.005

_encode = msgspec.json.Encoder().encode


def warm_up(publisher: Publisher, listener: Listener, meanwhile: Callable[[], object]) -> int:
    """Return how many requests it took; `meanwhile` is called often.

    Raises:
        StreamrankError: a message was not taken, or the listener failed.
    """
    deadline_s = time.perf_counter() + LONGEST_S
    sent = swift = 0
    while swift < IN_A_ROW and time.perf_counter() < deadline_s:
        sent += 1
        took_ms = _ask(f"{VISITOR}-{sent}", publisher, listener, meanwhile, deadline_s)
        swift = swift + 1 if took_ms <= SWIFT_MS else 0
        pause_s = time.perf_counter() + EVERY_S
        while time.perf_counter() < pause_s:
            publisher.poll(_WAIT_S)
            meanwhile()
    listener.slates.clear()
    return sent


def _ask(
    request_id: str, publisher: Publisher, listener: Listener, meanwhile: Callable[[], object], deadline_s: float
) -> float:
    """Return how long the answer took (ms), or infinity if none came until the deadline."""
    request = ev.Request(user_id=VISITOR, request_id=request_id, event_id=request_id, at_ms=CUT_MS)
    sent_s = time.perf_counter()
    publisher.send(VISITOR.encode(), _encode(request))
    publisher.send(VISITOR.encode(), _encode(unseen(VISITOR, request_id, CUT_MS)))
    while time.perf_counter() < deadline_s:
        publisher.poll(_WAIT_S)
        meanwhile()
        listener.raise_if_failed()
        while listener.slates:
            slate, at_s = listener.slates.popleft()
            if slate.request_id == request_id:
                return (at_s - sent_s) * 1e3
    return float("inf")
