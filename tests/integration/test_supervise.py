"""The supervision of a worker: what is said once ends it, what is only away is waited for."""

import os
import signal
from pathlib import Path

import pytest

from streams.embedded.server import free_port
from streams.errors import StackFailed
from streams.supervise import SupervisedWorker
from tests.integration.conftest import RunningStack
from tests.integration.processes import environment, own_settings
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
