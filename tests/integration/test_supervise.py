"""The supervision of a worker: what is said once ends it, what is only away is waited for."""

import os
import signal
import socket
from pathlib import Path

import pytest

from streams import health, supervise
from streams.embedded.server import free_port
from streams.errors import StackFailed
from streams.health import HealthServer
from streams.kafka_admin import check_topics, restore_topics
from streams.metrics import Metrics
from streams.supervise import SupervisedWorker
from tests.integration.conftest import RunningStack
from tests.integration.processes import PARTITIONS, environment, own_settings, verb
from tests.integration.test_worker_faults import DURABLE
from tests.support import wait_until
from tests.valkey import valkey

READY_S = 60.0


def test_a_worker_killed_while_redis_is_away_is_tried_until_it_is_back(stack: RunningStack, tmp_path: Path) -> None:
    port = free_port()
    settings = own_settings(stack, redis_url=f"redis://127.0.0.1:{port}/0", redis_timeout_s=0.5)
    with SupervisedWorker(tmp_path, environment(settings)) as one:
        with valkey(tmp_path, *DURABLE, port=port):
            one.start()
            one.await_ready(READY_S)
        assert one.pid is not None
        os.kill(one.pid, signal.SIGKILL)
        said: list[str] = []
        wait_until(lambda: said.append(one.check() or "") or "Redis at" in said[-1], 30, "a try without Redis")
        assert "starts again" in said[-1]
        with valkey(tmp_path, *DURABLE, port=port):
            one.await_ready(READY_S)


def test_a_worker_that_was_never_ready_says_its_sentence_once(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    with SupervisedWorker(tmp_path, environment(settings)) as one:
        one.start()
        with pytest.raises(StackFailed, match=r"ended with 1: streamrank: Redis at .* does not answer"):
            one.await_ready(READY_S)


def test_a_port_that_was_taken_while_the_worker_was_gone_is_exchanged(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    with SupervisedWorker(tmp_path, environment(settings)) as one, socket.socket() as stranger:
        one.start()
        one.await_ready(READY_S)
        port = one.port
        assert one.pid is not None
        os.kill(one.pid, signal.SIGKILL)
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wait_until(one.check, 10, "the death")
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        one.await_ready(READY_S)
        assert one.port != port
        ended = verb("worker", env=environment(settings, metrics_port=port))
    assert (ended.returncode, ended.stderr) == (2, f"streamrank: metrics_port {port}: Address already in use\n")


def test_a_worker_that_says_it_hangs_is_killed_and_started_again(
    stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "LOOK_S", 0.0)
    monkeypatch.setattr(health, "STALLED_S", 0.0)  # so that this one says at once that it hangs
    hung = HealthServer(0, Metrics(), dict)
    hung.start()
    with SupervisedWorker(tmp_path, environment(own_settings(stack))) as one:
        one.start()
        one.await_ready(READY_S)
        first, one.port = one.pid, hung.port
        assert one.check() is None, "once is not enough"
        assert one.check() == f"the worker hangs and is killed; see {one.log}"
        wait_until(lambda: "ended with -9 and starts again" in str(one.check()), 10, "its end")
        one.await_ready(READY_S)
        assert one.pid != first
    hung.stop()


def test_topics_that_a_client_made_with_another_count_are_made_anew(stack: RunningStack) -> None:
    settings = own_settings(stack)
    wrong = settings.model_copy(update={"partitions": 3})
    assert all(state.partitions == PARTITIONS for state in check_topics(settings).values())
    restore_topics(wrong)
    assert all(state.partitions == 3 for state in check_topics(wrong).values())
