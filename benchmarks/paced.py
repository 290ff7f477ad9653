"""Open-loop load: messages go out at absolute times, and a latency counts from when its message should have gone.

So a stall of the sender, the broker or the worker shows in every message that it delays (no coordinated omission).
"""

import gc
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from confluent_kafka import Consumer, Producer

from benchmarks.shop import Pair

GRACE_S = 10.0
"""An answer is lost when none of those that are missing has come for so long; before that it is late, and counts."""
_SERVE_EVERY = 50


class Due(NamedTuple):
    """A message, when it should go (seconds after the start), and under which id its answer comes, if one does."""

    at_s: float
    pair: Pair
    answer_id: str | None


class Arrival(NamedTuple):
    """When an answer came (perf_counter), and its bytes."""

    at_s: float
    value: bytes


class Reader(threading.Thread):
    """Takes answers with the time of their arrival, from before the load until `finish`."""

    def __init__(self, consumer: Consumer, id_of: Callable[[bytes], str]) -> None:
        super().__init__(name="bench-reader", daemon=True)
        self.arrivals: dict[str, Arrival] = {}
        self._consumer = consumer
        self._id_of = id_of
        self._ended = threading.Event()
        self.start()

    def run(self) -> None:
        """Poll until told to end; the first of equal ids counts, a repeat is no news."""
        while not self._ended.is_set():
            message = self._consumer.poll(0.1)
            at_s = time.perf_counter()
            if message is not None and message.error() is None:
                self.arrivals.setdefault(self._id_of(message.value()), Arrival(at_s, message.value()))
        self._consumer.close()

    def finish(self, wanted: int) -> dict[str, Arrival]:
        """Wait until `wanted` answers are there, or no more come; return them by id."""
        came, moved_s = -1, time.perf_counter()
        while (now := len(self.arrivals)) < wanted and time.perf_counter() - moved_s < GRACE_S:
            if now != came:
                came, moved_s = now, time.perf_counter()
            time.sleep(0.02)
        self._ended.set()
        self.join()
        return self.arrivals


def send(producer: Producer, topic: str, load: Iterable[Due]) -> dict[str, float]:
    """Send the load on time; return when (perf_counter) each message that is to be answered should have gone."""
    due_s: dict[str, float] = {}
    gc.collect()
    gc.disable()
    try:
        start_s = time.perf_counter() + 0.05
        for n, (at_s, (key, value), answer_id) in enumerate(load):
            moment_s = start_s + at_s
            if (wait_s := moment_s - time.perf_counter()) > 0:
                time.sleep(wait_s)
            if answer_id is not None:
                due_s[answer_id] = moment_s
            producer.produce(topic, value, key)
            if n % _SERVE_EVERY == 0:
                producer.poll(0)
        producer.flush(GRACE_S)
    finally:
        gc.enable()
    return due_s


def latencies_ms(due_s: dict[str, float], arrivals: dict[str, Arrival], skip: int) -> list[float]:
    """Return the sorted latencies of what was answered, without the first `skip` messages."""
    counted = list(due_s.items())[skip:]
    return sorted((arrivals[i].at_s - due) * 1e3 for i, due in counted if i in arrivals)
