"""What a backfill refuses, and what it says of a wrong flag, log or server: one sentence, and nothing is written."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from streams.backfill.namespace import opened
from streams.backfill.run import Backfill
from streams.cli import run
from streams.embedded.server import free_port
from streams.errors import Misuse, StoreMismatch
from streams.features.user import FOLD_VERSION
from streams.settings import Settings
from streams.store.base import Commit
from tests.backfilled import busy_log, write_log
from tests.integration.processes import catalogue, environment
from tests.integration.redis_stores import settings_of
from tests.integration.test_backfill import start
from tests.valkey import valkey

PARTITIONS = 3


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with valkey(tmp_path_factory.mktemp("valkey")) as at:
        yield at


@pytest.fixture
def settings(port: int) -> Settings:
    return settings_of(port, partitions=PARTITIONS, kafka_bootstrap=f"127.0.0.1:{free_port()}")


def test_only_an_empty_namespace_is_filled_and_only_by_one_log(settings: Settings, tmp_path: Path) -> None:
    one, log = (write_log(tmp_path / f"{n}.jsonl", busy_log(n)) for n in (20, 30))
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
    assert len(catalogue(settings)) == 1_200


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
        (
            {"partitions": PARTITIONS + 1},
            "topic",
            StoreMismatch,
            f"holds 3 partitions of fold version {FOLD_VERSION}, not 4",
        ),
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
