"""The homes of state that `test_store*.py` runs over, and how a test function may be a coroutine."""

import asyncio
import inspect
import itertools
from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from streams.settings import Settings
from streams.store.base import FeatureStore
from streams.store.connection import connect
from streams.store.memory import MemoryStore
from streams.store.redis import RedisStore
from tests.valkey import valkey

LIMITS = {"row_limit": 6, "row_keep": 3, "changes_kept": 50}
"""Small enough that a test reaches them."""

_numbers = itertools.count()


class Namespace:
    """One fresh namespace: every store that it opens shares the same state, as the processes of a deployment do."""

    def __init__(self, open_store: Callable[[], FeatureStore]) -> None:
        self._open_store = open_store
        self._stores: list[FeatureStore] = []

    def store(self) -> FeatureStore:
        """Return one more store in this namespace."""
        self._stores.append(self._open_store())
        return self._stores[-1]

    async def close(self) -> None:
        """Close all stores of it."""
        for store in self._stores:
            await store.close()


def memory(redis_url: str) -> Namespace:
    """A namespace in this process."""
    only = MemoryStore(**LIMITS)
    return Namespace(lambda: only)


def redis(redis_url: str) -> Namespace:
    """A namespace in Valkey; each store has a connection of its own."""
    prefix = f"contract.{next(_numbers)}."
    settings = Settings(redis_url=SecretStr(redis_url))
    return Namespace(lambda: RedisStore(connect(settings), prefix=prefix, state_ttl_s=1_000, **LIMITS))


NAMESPACES: dict[type[FeatureStore], Callable[[str], Namespace]] = {MemoryStore: memory, RedisStore: redis}
"""Every implementation of `FeatureStore`, and a fresh namespace of it; one line for a new one."""


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("valkey")) as port:
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(params=NAMESPACES, ids=lambda kind: kind.__name__)
def namespace(request: pytest.FixtureRequest, redis_url: str) -> Namespace:
    return NAMESPACES[request.param](redis_url)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function in an event loop of its own, and close its namespace in the same loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def run() -> None:
        try:
            await pyfuncitem.obj(**arguments)
        finally:
            if "namespace" in arguments:
                await arguments["namespace"].close()

    asyncio.run(run())
    return True
