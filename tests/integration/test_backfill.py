"""Backfill into a real Valkey, without Kafka: the same state as in memory, whatever interrupts it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from streams.backfill.namespace import WriterAlive
from streams.backfill.run import Backfill
from streams.checks import BackfillUnfinished, check_redis
from streams.embedded.process import group
from streams.embedded.server import free_port
from streams.settings import Settings
from streams.store.redis import RedisStore
from tests.backfilled import EVENTS_A_NOVELTY, busy_log, contents, reference, write_log
from tests.integration.processes import environment
from tests.integration.redis_stores import settings_of
from tests.support import wait_until
from tests.valkey import valkey

EVENTS = 44_000
PARTITIONS = 3


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with valkey(tmp_path_factory.mktemp("valkey")) as at:
        yield at


@pytest.fixture
def settings(port: int) -> Settings:
    return settings_of(port, partitions=PARTITIONS, kafka_bootstrap=f"127.0.0.1:{free_port()}")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("log") / "busy.jsonl", busy_log(EVENTS))


@pytest.fixture(scope="module")
def expected(log: Path) -> Mapping[str, Any]:
    settings = Settings(partitions=PARTITIONS)

    async def simulated() -> Mapping[str, Any]:
        return await contents(await reference(log.read_bytes().splitlines(), settings), settings)

    return asyncio.run(simulated())


def held(settings: Settings) -> Mapping[str, Any]:
    """Return what the namespace in Valkey holds; its outboxes must be empty."""

    async def read() -> Mapping[str, Any]:
        store = RedisStore.from_settings(settings)
        try:
            assert [await store.outbox(p) for p in range(settings.partitions)] == [[]] * settings.partitions
            return await contents(store, settings)
        finally:
            await store.close()

    return asyncio.run(read())


def applied(settings: Settings) -> int:
    async def read() -> int:
        store = RedisStore.from_settings(settings)
        try:
            positions = await store.positions(range(settings.partitions))
            return sum(at.applied for at in positions.values() if at is not None)
        finally:
            await store.close()

    return asyncio.run(read())


def start(settings: Settings, *words: str) -> "subprocess.Popen[str]":
    """Start the command in a process group of its own."""
    command = [sys.executable, "-m", "streams.cli", "backfill", *words]
    return subprocess.Popen(
        command, env=environment(settings), stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def in_the_middle(settings: Settings) -> None:
    wait_until(lambda: applied(settings) > 3_000, 30, "a part of the log")


def test_the_log_has_what_the_tests_need(log: Path, expected: Mapping[str, Any]) -> None:
    kinds = [json.loads(line)["type"] for line in log.read_bytes().splitlines()]
    assert min(kinds.count(kind) for kind in ("alias", "forget", "request", "uncart")) > 20
    assert expected["stats"]["duplicates"] > 20
    assert expected["stats"]["applied"] + expected["stats"]["duplicates"] > EVENTS, "no history was moved"
    hot = [field for _, row, field in expected["counters"] if row == "b:hot"]
    assert 0 < len(hot) < 0.9 * PARTITIONS * EVENTS / 2 / EVENTS_A_NOVELTY, "nothing was pruned"


@pytest.mark.parametrize("processes", [1, 3])
def test_state_equals_that_of_the_pipeline_in_memory(
    settings: Settings, log: Path, expected: Mapping[str, Any], processes: int
) -> None:
    filled = Backfill(settings, log, None, processes=processes).run()
    assert held(settings) == expected
    stats = expected["stats"]
    assert (filled.events, filled.duplicates) == (stats["applied"], stats["duplicates"])
    assert (filled.users, filled.rejected) == (len(expected["states"]), 0)
    assert (filled.resumed, filled.processes) == (0, processes)
    assert asyncio.run(check_redis(settings)).startswith("a namespace of 3 partitions")


def test_killed_in_the_middle_it_goes_on_and_comes_to_the_same(
    settings: Settings, log: Path, expected: Mapping[str, Any], tmp_path: Path
) -> None:
    interrupted = start(settings, str(log), "--processes", "2")
    in_the_middle(settings)
    os.killpg(interrupted.pid, signal.SIGKILL)
    interrupted.communicate()
    before = applied(settings)
    assert 3_000 < before < EVENTS
    with pytest.raises(BackfillUnfinished, match=r"holds an unfinished backfill of busy\.jsonl, .* run `streamrank"):
        asyncio.run(check_redis(settings))

    result = tmp_path / "result.json"
    resumed = start(settings, str(log), "--processes", "3", "--json", str(result))
    _, errors = resumed.communicate(timeout=60)
    assert resumed.returncode == 0, errors
    assert held(settings) == expected
    written = json.loads(result.read_text())
    assert written["resumed"] >= before
    assert written["events"] == expected["stats"]["applied"]
    assert written["users"] == len(expected["states"])


def test_a_process_that_dies_ends_the_run_and_running_again_completes_it(
    settings: Settings, log: Path, expected: Mapping[str, Any]
) -> None:
    running = start(settings, str(log), "--processes", "2")
    in_the_middle(settings)
    folding = [pid for pid in group(running.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(folding) == 2
    os.kill(folding[0], signal.SIGKILL)
    _, errors = running.communicate(timeout=20)
    assert running.returncode == 1
    assert errors.endswith("a process of the backfill ended with -9: run the same command again\n")
    wait_until(lambda: not group(running.pid), what="the end of all its processes")
    Backfill(settings, log, None, processes=1).run()
    assert held(settings) == expected


def test_ctrl_c_ends_all_processes_and_says_how_to_go_on(settings: Settings, log: Path) -> None:
    running = start(settings, str(log), "--processes", "2")
    in_the_middle(settings)
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=20)
    assert running.returncode == 130
    assert errors.strip() == "interrupted: the same command goes on where this one ended"
    wait_until(lambda: not group(running.pid), what="the end of all its processes")


def test_while_one_runs_another_is_refused(settings: Settings, log: Path, expected: Mapping[str, Any]) -> None:
    first = start(settings, str(log), "--processes", "1")
    in_the_middle(settings)
    with pytest.raises(WriterAlive, match="has a backfill alive: stop it, then run this again"):
        Backfill(settings, log, None, processes=1).run()
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 0, errors
    assert held(settings) == expected
