"""Alive, ready, and what is counted."""

import json
import logging
import urllib.error
import urllib.request

import pytest

from streams.decode import Record
from streams.health import STALLED_S, HealthServer, Liveness
from streams.logs import JsonFormatter, TextFormatter
from streams.metrics import Metrics
from streams.pipeline import Outcome


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_that_applies_nothing_while_records_wait_is_not_alive() -> None:
    metrics, clock, lags = Metrics(), Clock(), {0: 0}
    liveness = Liveness(metrics, lambda: lags, clock)
    clock.now += 10 * STALLED_S
    assert liveness.is_alive()
    lags[0] = 5
    clock.now += STALLED_S - 1
    assert liveness.is_alive()
    clock.now += 1
    assert not liveness.is_alive()
    metrics.progress += 1
    assert liveness.is_alive()


def test_waiting_for_a_server_on_purpose_is_alive() -> None:
    metrics, clock = Metrics(), Clock()
    liveness = Liveness(metrics, lambda: {0: 5}, clock)
    metrics.waiting(True)
    clock.now += 10 * STALLED_S
    assert liveness.is_alive()


def page(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_the_pages_of_a_worker(metrics: Metrics) -> None:
    metrics.watch_lag(lambda: {3: 7})
    server = HealthServer(0, metrics, lambda: {3: 7})
    server.start()
    try:
        assert page(server.port, "/readyz")[0] == 503
        metrics.assigned([3])
        assert page(server.port, "/readyz")[0] == 200
        assert page(server.port, "/livez") == (200, "alive\n")
        batch = {3: [Record(3, 0, b"k", b"v", 0)]}
        metrics.batch(batch, Outcome({}, {}, {3: None}, {"applied": 1, "slates_popular": 2, "feedback_late": 3}), 0.1)
        metrics.published(0.2)
        _, text = page(server.port, "/metrics")
    finally:
        server.stop()
    for line in (
        'streamrank_consumer_lag{partition="3"} 7.0',
        'streamrank_events_total{outcome="applied"} 1.0',
        'streamrank_slates_total{served_by="popular"} 2.0',
        'streamrank_feedback_total{outcome="late"} 3.0',
        "streamrank_fenced_commits_total 1.0",
        'streamrank_batch_seconds_count{stage="run"} 1.0',
    ):
        assert line in text.splitlines()


def test_log_lines_carry_a_constant_message_and_fields() -> None:
    record = logging.makeLogRecord({"msg": "placed", "levelname": "INFO", "name": "x", "partition": 3})
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["partition"], line["level"]) == ("placed", 3, "info")
    assert TextFormatter().format(record).endswith("placed partition=3")
