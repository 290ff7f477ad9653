"""One trainer at a time: a lease that ends by itself, and whoever slept beyond theirs changes nothing any more."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from streams.errors import Unreachable
from streams.rollout import lineup as steps
from streams.rollout.held import Held, LeaseTaken
from streams.rollout.lease import Done, Lease, LeaseLost
from streams.rollout.pointer import Pointer
from streams.settings import Settings
from streams.store.connection import RedisConnection, connect
from tests.support import wait_until
from tests.valkey import valkey


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with valkey(tmp_path_factory.mktemp("valkey")) as at:
        yield at


@pytest.fixture
def settings(port: int) -> Settings:
    return Settings(redis_url=SecretStr(f"redis://127.0.0.1:{port}/0"), key_prefix=f"l{uuid.uuid4().hex[:8]}-")


def lease(redis: RedisConnection, settings: Settings, lasts_ms: int = 60_000) -> Lease:
    return Lease(redis, settings.key_prefix, "ranker", lasts_ms)


def test_one_has_it_until_it_gives_it_back(settings: Settings) -> None:
    async def run() -> None:
        redis = connect(settings)
        one, other = lease(redis, settings), lease(redis, settings)
        assert await one.take()
        assert not await other.take()
        with pytest.raises(LeaseLost):
            await other.renew()
        await one.renew()
        before = one.number
        await one.release()
        assert await other.take()
        assert int(other.number or 0) > int(before or 0), "numbers only grow"
        await redis.close()

    asyncio.run(run())


def test_who_slept_beyond_it_changes_nothing(settings: Settings) -> None:
    async def run() -> None:
        redis = connect(settings)
        sleeper, other = lease(redis, settings, lasts_ms=50), lease(redis, settings)
        assert await sleeper.take()
        number = sleeper.number
        pointer = Pointer(redis, settings.key_prefix, "ranker", number)
        first = steps.first("ranker", 1)
        held = steps.published(first, 2, None)
        await pointer.move(first, held, [])
        while not await other.take():
            await asyncio.sleep(0.01)
        with pytest.raises(LeaseLost, match="the trainer's lease of ranker has ended"):
            await pointer.move(held, steps.published(held, 3, None), [])
        assert await pointer.read() == held
        # The new holder may, and so may an operator, who has no lease.
        newer = steps.published(held, 3, None)
        await Pointer(redis, settings.key_prefix, "ranker", other.number).move(held, newer, [])
        await Pointer(redis, settings.key_prefix, "ranker").move(newer, steps.published(newer, 4, None), [])
        await sleeper.release()
        with pytest.raises(LeaseLost):
            await sleeper.renew()
        await other.renew()
        await redis.close()

    asyncio.run(run())


def test_what_the_last_run_ended_at_is_kept(settings: Settings) -> None:
    async def run() -> None:
        redis = connect(settings)
        assert await lease(redis, settings).done() is None
        done = Done(run_ms=7, labelled={"feedback/x/0": 3}, heard={"models/y/1": 4})
        await lease(redis, settings).put_done(done)
        assert await lease(redis, settings).done() == done
        await redis.close()

    asyncio.run(run())


def test_it_is_kept_while_its_holder_is_busy(settings: Settings) -> None:
    with Held(settings, lasts_s=0.5) as held:
        began = time.monotonic()
        while time.monotonic() - began < 1.5:  # three times as long as it lasts
            held.check()
        with pytest.raises(LeaseTaken, match="another trainer of ranker is at work"), Held(settings):
            pass
    with Held(settings) as again:
        assert again.number > held.number


def test_it_is_lost_when_redis_is_away_for_longer_than_it_lasts(tmp_path: Path) -> None:
    with valkey(tmp_path) as port:
        held = Held(Settings(redis_url=SecretStr(f"redis://127.0.0.1:{port}/0"), redis_timeout_s=0.2), lasts_s=0.5)
        held.__enter__()
        held.check()

    def lost() -> bool:
        try:
            held.check()
        except LeaseLost:
            return True
        return False

    wait_until(lost, what="the lease to be lost")
    held.__exit__(None, None, None)
    with pytest.raises(Unreachable), held_of(port):
        pass


def held_of(port: int) -> Held:
    return Held(Settings(redis_url=SecretStr(f"redis://127.0.0.1:{port}/0"), redis_timeout_s=0.2))
