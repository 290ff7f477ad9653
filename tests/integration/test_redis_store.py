"""What only Redis can do wrong: be away, full or misconfigured; forget scripts; tell its password."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from streams.embedded.server import free_port
from streams.errors import Misuse, StreamrankError, Unreachable
from streams.store.base import ItemChange, Position
from streams.store.redis import RedisStore
from tests.contracts.stores import OPENING, applied, commit, counters, everything, follow, following, opened
from tests.integration.redis_stores import FULL, in_a_loop, settings_of, store_at
from tests.valkey import valkey


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with valkey(tmp_path_factory.mktemp("valkey")) as port:
        yield port


@in_a_loop
async def test_a_server_that_is_away_is_named_and_found_again(tmp_path: Path) -> None:
    port = free_port()
    async with store_at(port, url=f"redis://shop:hunter2@127.0.0.1:{port}/0", redis_password=None) as store:
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port} does not answer: start it") as away:
            await store.open(**OPENING)
        assert "hunter2" not in str(away.value)
    async with store_at(port) as store:
        for _ in range(2):  # the second time over a connection that was dropped
            with valkey(tmp_path, port=port):
                await opened(store)
                await applied(store, following(Position(), **FULL))
            with pytest.raises(Unreachable):
                await store.positions([1])


@in_a_loop
async def test_a_commit_whose_answer_was_lost_is_recognised(port: int) -> None:
    async with store_at(port, redis_timeout_s=0.3) as store:
        await opened(store)
        position = await applied(store, following(Position(), **FULL))
        with redis.Redis(port=port) as client:
            process = client.info("server")["process_id"]
        os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(Unreachable, match="did not answer in time"):
                await commit(store, following(position, **FULL))
        finally:
            os.kill(process, signal.SIGCONT)
        await applied(store, following(position, **FULL))
        assert await counters(store) == {("row", "1:x"): 6}


@in_a_loop
async def test_scripts_may_be_forgotten(port: int) -> None:
    async with store_at(port) as store:
        await opened(store)
        position = await applied(store, following(Position(), **FULL))
        with redis.Redis(port=port) as client:
            client.script_flush()
        both = [following(position, **FULL), following(Position(), partition=2, **FULL)]
        assert [answer.fenced for answer in await store.commit(both)] == [False, False]


@in_a_loop
async def test_a_full_server_changes_nothing_and_recovers(tmp_path: Path) -> None:
    with valkey(tmp_path) as port, redis.Redis(port=port) as client:
        async with store_at(port) as store:
            await opened(store)
            position = await applied(store, following(Position(), **FULL))
            before = await everything(store)
            client.config_set("maxmemory", 1)
            with pytest.raises(Unreachable, match="is full"):
                await commit(store, following(position, **FULL))
            assert await everything(store) == before
            client.config_set("maxmemory", 0)
            await applied(store, following(position, **FULL))


@in_a_loop
async def test_a_replica_is_refused(tmp_path: Path, port: int) -> None:
    with valkey(tmp_path, "--replicaof", "127.0.0.1", str(port)) as replica:
        async with store_at(replica) as store:
            with pytest.raises(Unreachable, match="read-only replica"):
                await store.open(**OPENING)


@in_a_loop
async def test_who_may_enter(tmp_path: Path) -> None:
    with valkey(tmp_path, "--requirepass", "right", password="right") as port:  # noqa: S106
        for more in ({}, {"url": f"redis://:hunter2@127.0.0.1:{port}/0"}, {"redis_password": "hunter2"}):
            async with store_at(port, **more) as store:
                with pytest.raises(Unreachable, match="redis_password") as refused:
                    await store.open(**OPENING)
                assert "hunter2" not in str(refused.value)
        url = f"redis://nobody:wrong@127.0.0.1:{port}/0"
        async with store_at(port, url=url, redis_username="default", redis_password="right") as store:  # noqa: S106
            await opened(store)


@in_a_loop
async def test_a_server_that_evicts_is_refused_even_if_it_hides_its_settings(tmp_path: Path) -> None:
    with valkey(tmp_path) as port, redis.Redis(port=port) as client:
        client.execute_command("ACL", "SETUSER", "worker", "on", ">pw", "~*", "+@all", "-config")
        worker = {"redis_username": "worker", "redis_password": "pw"}
        for user in ({}, worker):
            client.config_set("maxmemory-policy", "allkeys-lru")
            async with store_at(port, **user) as store:
                with pytest.raises(StreamrankError, match=f":{port} has maxmemory-policy allkeys-lru"):
                    await store.open(**OPENING)
                client.config_set("maxmemory-policy", "noeviction")
                await opened(store)


@in_a_loop
async def test_keys_have_prefix_tag_and_expiry(port: int) -> None:
    settings = settings_of(port, state_ttl_s=86_400)
    store = RedisStore.from_settings(settings)
    await opened(store)
    position = await applied(store, following(Position(), **FULL))
    await applied(store, following(position, prune=True, **FULL))
    await store.upsert_items(0, 1, [ItemChange("a", b"{}")])
    await store.close()
    with redis.Redis(port=port, decode_responses=True) as client:
        keys = {key.removeprefix(settings.key_prefix) for key in client.keys(settings.key_prefix + "*")}
        partition = {f"{name}:{{1}}" for name in ("offset", "out", "stats", "touched", "rows", "delta")}
        users = {"u:{1}:anna", "c:{1}:row"}
        assert keys == partition | users | {"meta", "{items}:catalogue", "{items}:changes", "{items}:offset"}
        expiring = {key for key in keys if client.ttl(settings.key_prefix + key) > 0}
        assert expiring == users


@in_a_loop
async def test_a_row_that_expired_is_forgotten(port: int) -> None:
    settings = settings_of(port)
    store = RedisStore.from_settings(settings)
    await opened(store)
    position = await applied(store, following(Position(), **FULL))
    position = await applied(store, following(position, prune=True))
    with redis.Redis(port=port) as client:
        assert not client.exists(f"{settings.key_prefix}touched:{{1}}")
        client.delete(f"{settings.key_prefix}c:{{1}}:row")
        assert await counters(store) == {}
        await applied(store, following(position, prune=True))
        assert client.smembers(f"{settings.key_prefix}rows:{{1}}") == set()
    await store.close()


@in_a_loop
async def test_a_reader_notices_that_the_server_was_rolled_back(port: int) -> None:
    settings = settings_of(port)
    store = RedisStore.from_settings(settings)
    await opened(store)
    marks: dict[int, str] = {}
    await store.changes([1], marks)
    position = await applied(store, following(Position(), **FULL))
    keys = [f"{settings.key_prefix}{name}:{{1}}" for name in ("offset", "delta")]
    with redis.Redis(port=port) as client:
        backup = [client.dump(key) for key in keys]
        await applied(store, following(position, **FULL))
        assert await follow(store, marks, {})
        ahead = dict(marks)
        for key, dump in zip(keys, backup, strict=True):
            client.restore(key, 0, dump, replace=True)
    assert not await follow(store, marks, {})
    await applied(store, following(position, **FULL))
    assert not await follow(store, ahead, {})
    await store.close()


@in_a_loop
async def test_a_writer_of_an_old_epoch_of_items_does_nothing(port: int) -> None:
    settings = settings_of(port)
    old, new = RedisStore.from_settings(settings), RedisStore.from_settings(settings)
    await opened(old)
    await new.open(**OPENING | {"topic_ids": {"items": "another"}})
    assert await new.upsert_items(0, 0, [ItemChange("a", b"new")])
    assert not await old.upsert_items(0, 99, [ItemChange("a", b"old")])
    assert [some async for some in new.items()] == [[ItemChange("a", b"new")]]
    await old.close()
    await new.close()


def test_wrong_settings_are_named_without_the_password() -> None:
    for url in ("http://:hunter2@host", "redis://:hunter2@host:port"):
        with pytest.raises(Misuse, match="redis_url") as refused:
            RedisStore.from_settings(settings_of(0, url=url))
        assert "hunter2" not in str(refused.value)
    with pytest.raises(Misuse, match=r"nowhere\.pem does not exist"):
        RedisStore.from_settings(settings_of(0, url="rediss://host", redis_ca_file=Path("nowhere.pem")))


@in_a_loop
async def test_a_server_that_is_no_cluster_is_named(port: int) -> None:
    async with store_at(port, redis_cluster=True) as store:
        with pytest.raises(Unreachable, match="redis_cluster"):
            await store.open(**OPENING)
