"""The load: a thread that publishes drawn messages at a steady rate, straight to the broker."""

import threading
import time
from collections import defaultdict
from typing import Any

from confluent_kafka import Producer

from benchmarks.chaos.traffic import Traffic
from benchmarks.deployment import Deployment
from streams.contracts.topics import EVENTS

LINGER_MS = 100
"""So that batches aren't tiny: the embedded broker slows with their number."""
_PATIENT = {"linger.ms": LINGER_MS, "message.timeout.ms": 120_000, "log_level": 2}
STEP_S = 0.02
FLUSH_S = 120.0


class Load(threading.Thread):
    """Publishes until `finish`; whoever starts it must finish it."""

    def __init__(self, deployment: Deployment, traffic: Traffic, rate_per_s: float) -> None:
        super().__init__(name="load", daemon=True)
        self.traffic = traffic
        self.sent = 0
        self.failures: list[str] = []
        self.asked_s: dict[str, float] = {}
        """When (perf_counter) each request was handed over."""
        self.rate_per_s = rate_per_s
        self._burst = 0
        self._settings = deployment.settings
        self._producer: Producer = deployment.producer(_PATIENT)
        self._ends: dict[int, int] = defaultdict(int)
        self._ended = threading.Event()

    @property
    def ends(self) -> dict[int, int]:
        """The offset after the last delivered event, by partition."""
        return dict(self._ends)

    def burst(self, messages: int) -> None:
        """Publish so many more, at once."""
        self._burst += messages

    def run(self) -> None:
        """Publish on time."""
        due = 0.0
        last_s = time.monotonic()
        while not self._ended.is_set():
            now_s = time.monotonic()
            due += (now_s - last_s) * self.rate_per_s + self._burst
            self._burst, last_s = 0, now_s
            while due >= 1:
                self._publish()
                due -= 1
            self._producer.poll(STEP_S)

    def publish(self, messages: int) -> None:
        """Publish so many from this thread, instead of starting it."""
        for _ in range(messages):
            self._publish()
        self._flush()

    def finish(self) -> None:
        """Stop, and wait until the broker has everything."""
        self._ended.set()
        self.join()
        self._flush()

    def _flush(self) -> None:
        left = self._producer.flush(FLUSH_S)
        if left:
            self.failures.append(f"{left} messages were not delivered in {FLUSH_S:g} s")

    def _publish(self) -> None:
        sent = self.traffic.draw(int(time.time() * 1000))
        if sent.request_id is not None:
            self.asked_s.setdefault(sent.request_id, time.perf_counter())
        while True:
            try:
                self._producer.produce(
                    self._settings.topic(sent.topic), sent.value, sent.key, on_delivery=self._delivered
                )
                break
            except BufferError:
                self._producer.poll(STEP_S)
        self.sent += 1

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self.failures.append(str(error))
        elif message.topic() == self._settings.topic(EVENTS):
            partition = message.partition()
            self._ends[partition] = max(self._ends[partition], message.offset() + 1)
