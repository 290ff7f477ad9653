"""Backfill into a real Valkey, without Kafka: the same state as in memory, whatever interrupts it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from streams.backfill.namespace import WriterAlive, opened
from streams.backfill.run import Backfill
from streams.checks import BackfillUnfinished, check_redis
from streams.cli import run
from streams.embedded.server import free_port
from streams.errors import Misuse, StoreMismatch
from streams.settings import Settings
from streams.store.base import Commit
from streams.store.redis import RedisStore
from tests.backfilled import EVENTS_A_NOVELTY, busy_log, contents, reference, write_log
from tests.integration.processes import environment
from tests.integration.redis_stores import settings_of
from tests.support import group, wait_until
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


def test_only_an_empty_namespace_is_filled_and_only_by_one_log(settings: Settings, log: Path, tmp_path: Path) -> None:
    one = write_log(tmp_path / "one.jsonl", busy_log(20))
    Backfill(settings, one, None, processes=1).run()
    for path in (one, log):
        with pytest.raises(Misuse, match="holds state already: backfill into another key_prefix, or erase this one"):
            Backfill(settings, path, None, processes=1).run()
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        client.hset(settings.key_prefix + "meta", "backfill", "another.jsonl, 1 bytes")
    with pytest.raises(Misuse, match=r"holds an unfinished backfill of another\.jsonl, 1 bytes: run it on that log"):
        Backfill(settings, one, None, processes=1).run()


def test_a_folder_brings_its_catalogue_and_names_what_is_wrong(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    write_log(tmp_path / "items.jsonl", [b'{"item_id":"i%d"}' % n for n in range(1_200)] + [b'{"title":"x"}'])
    bad = [
        b'{"type":"click","user_id":"u1","at_ms":1760000000000}',
        b'{"type":"click","user_id":"u1","item_id":"i1"}',
        b"no json",
    ]
    write_log(tmp_path / "events.jsonl", [*busy_log(100), *bad])
    assert run(["backfill", str(tmp_path), "--json", str(tmp_path / "result.json")]) == 0
    out, err = capfd.readouterr()
    assert ", 4 rejected; " in out
    assert "items.jsonl:1201: not folded: $: Object missing required field `item_id`" in err
    assert "events.jsonl:101: not folded: $: Object missing required field `item_id`" in err
    assert "events.jsonl:102: not folded: $.at_ms: missing: a log has no Kafka timestamps" in err
    assert "events.jsonl:103: not folded: $: not JSON" in err
    assert json.loads((tmp_path / "result.json").read_text())["items"] == 1_200

    async def items() -> int:
        store = RedisStore.from_settings(settings)
        try:
            return sum([len(some) async for some in store.items()])
        finally:
            await store.close()

    assert asyncio.run(items()) == 1_200


def test_misuse_writes_nothing_and_is_one_sentence(
    settings: Settings, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    good = write_log(tmp_path / "good.jsonl", busy_log(10))
    empty = write_log(tmp_path / "empty.jsonl", [])
    items = write_log(tmp_path / "items.jsonl", [b'{"item_id":"i1"}'])
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(b"\x1f\x8b\x08\x00cut")
    place = b'{"type":"click","user_id":"u%d","item_id":"i","at_ms":1760000000000,"_partition":%d,"_offset":%d}'
    kafka = settings.kafka_bootstrap
    for words, code, said in (
        ([str(good), "--processes", "0"], 2, "0 is not in the range x>=1"),
        ([str(good), "--config", str(empty) + "x"], 2, "cannot read the settings file"),
        ([str(tmp_path / "none.jsonl")], 2, "cannot read the log: No such file"),
        ([str(tmp_path)], 2, "no events.jsonl in this folder"),
        ([str(empty)], 2, "the log has no lines"),
        ([str(items)], 2, "none of its 1 lines is an event: is it that kind of log?"),
        ([str(cut)], 2, "cut.jsonl.gz:1: the gzip data is cut or damaged"),
        ([str(write_log(tmp_path / "p", [place % (1, 2, 0)]))], 2, "correct the setting partitions"),
        (
            [str(write_log(tmp_path / "f", [place % (1, 1, 5), place % (1, 1, 4)]))],
            2,
            "f:2: $._offset: 4 comes after 5",
        ),
        ([str(write_log(tmp_path / "k", [place % (1, 1, 5)]))], 1, f"Kafka at {kafka} does not answer"),
    ):
        assert run(["backfill", *words]) == code, words
        assert said in " ".join(capfd.readouterr().err.split()), words
    with redis.Redis(port=port) as client:
        assert client.keys(settings.key_prefix + "*") == []
    assert run(["backfill", str(good), "--json", str(tmp_path / "nowhere" / "x")]) == 2
    assert "cannot write the result" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "topic_id", "error", "said"),
    [
        ({}, "made anew", Misuse, "the events topic was made anew since this backfill began"),
        ({"partitions": PARTITIONS + 1}, "topic", StoreMismatch, "holds 3 partitions of fold version 1, not 4"),
    ],
)
def test_an_interrupted_one_keeps_to_its_topic_and_its_partitions(
    settings: Settings, change: dict[str, Any], topic_id: str, error: type[Exception], said: str
) -> None:
    async def interrupted() -> None:
        async with opened(settings) as namespace:
            at = (await namespace.claim("log", {"events": "topic"})).positions[0]
            await namespace.store.commit([Commit(0, at, replace(at, offset=0, applied=1), "token")])

    async def resumed(again: Settings, topic_id: str) -> int:
        async with opened(again) as namespace:
            return (await namespace.claim("log", {"events": topic_id})).positions[0].applied

    asyncio.run(interrupted())
    assert asyncio.run(resumed(settings, "topic")) == 1
    with pytest.raises(error, match=said):
        asyncio.run(resumed(settings.model_copy(update=change), topic_id))


def test_a_redis_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    away = Settings(redis_url=SecretStr(f"redis://127.0.0.1:{free_port()}/0"), partitions=2)
    ended = start(away, str(write_log(tmp_path / "log", busy_log(10))))
    _, errors = ended.communicate(timeout=20)
    assert ended.returncode == 1
    assert errors.startswith("streamrank: Redis at 127.0.0.1:")
    assert errors.endswith("does not answer: start it, or correct redis_url\n")
