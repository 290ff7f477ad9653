"""The connection to Redis: how it is built, one way to ask, and every failure as one sentence.

`ask` is a pipeline: one round trip (one a node, in a cluster) under one timeout. Nothing is retried here, since the
worker decides; a dropped connection is opened anew by the next call, and a cluster's map of slots is read anew.
Sentences name host and port, never the password.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, NoReturn

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from streams.errors import Misuse, StreamrankError, Unreachable
from streams.settings import Settings

Command = tuple[Any, ...]
Call = tuple[Sequence[str], Sequence[Any]]
"""The keys and the arguments of one call of a script."""

_AWAY = (exceptions.RedisError, exceptions.RedisClusterException, OSError, RuntimeError)
_LOST = (exceptions.ConnectionError, exceptions.TimeoutError)
_REMEDIES: tuple[tuple[type[Exception] | str, str], ...] = (
    (exceptions.AuthenticationError, "refuses the user or password: correct redis_username and redis_password"),
    (exceptions.NoPermissionError, "forbids this user a command: extend its ACL"),
    (exceptions.BusyLoadingError, "is loading its data: wait until it has"),
    (exceptions.ReadOnlyError, "is a read-only replica: point redis_url at the primary"),
    (exceptions.OutOfMemoryError, "is full: raise its maxmemory, or add nodes"),
    (exceptions.MasterDownError, "has lost its primary: wait for the fail-over"),
    (exceptions.ClusterDownError, "says that its cluster is down: bring back the nodes with the missing slots"),
    (exceptions.TryAgainError, "is moving slots between nodes: wait until it has"),
    ("MISCONF", "cannot save to disk and refuses writes: look at its disk"),
    ("NOREPLICAS", "has too few replicas in step to accept writes: bring them back"),
    ("BUSY", "is busy with a script: look at its slow log"),
    (exceptions.TimeoutError, "did not answer in time: look at its load, or raise redis_timeout_s"),
    (TimeoutError, "did not answer in time: look at its load, or raise redis_timeout_s"),
    (exceptions.ConnectionError, "does not answer: start it, or correct redis_url"),
    (exceptions.RedisClusterException, "does not answer as a cluster: start it, or correct redis_cluster"),
    (OSError, "does not answer: start it, or correct redis_url"),
    (
        "unable to perform operation on",
        "has reset the connection: look at its log, and at the network",
    ),  # uvloop's words
)
"""What failed and what the operator does about it: the first entry that fits, by class or by the reply's first word."""


class Script:
    """A Lua script that lies beside this module; the server knows it by its hash."""

    def __init__(self, name: str) -> None:
        self.source = files("streams.store").joinpath(name).read_text("utf-8")
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class RedisConnection:
    """A client of one Redis server or Redis Cluster, shared by all that this process asks of it."""

    def __init__(self, client: "Redis | RedisCluster", *, address: str, timeout_s: float) -> None:
        self._client: Any = client
        self._cluster = isinstance(client, RedisCluster)
        self._timeout_s = timeout_s
        self.address = address

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send all commands, then read all answers.

        Raises:
            Unreachable: if any of them failed because the server is away, read-only or full.
        """
        answers = await self._send(commands)
        for answer in answers:
            if isinstance(answer, Exception):
                self._fail(answer)
        return answers

    async def call(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        """Run a script once for each of `calls`; a server that doesn't know it is sent the source.

        Raises:
            Unreachable: as `ask`; some calls may have been executed.
        """
        answers = await self._send([("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in calls])
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, exceptions.NoScriptError)]
        if unknown:
            sources = [("EVAL", script.source, len(calls[i][0]), *calls[i][0], *calls[i][1]) for i in unknown]
            for i, answer in zip(unknown, await self._send(sources), strict=True):
                answers[i] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                self._fail(answer)
        return answers

    async def keys(self, pattern: str) -> AsyncIterator[bytes]:
        """Yield the keys that match a glob, over all nodes; a key may come twice."""
        try:
            async for key in self._client.scan_iter(match=pattern, count=1_000):
                yield key
        except _AWAY as exc:
            self._fail(exc)

    async def clients(self) -> set[str]:
        """Return the names of all clients that are connected now, over all nodes; see `connect`."""
        names: set[str] = set()
        try:
            async with asyncio.timeout(self._timeout_s):
                for target in (await self._servers()).values():
                    clients = await self._client.execute_command("CLIENT LIST", **target)
                    names.update(client["name"] for client in clients)
        except _AWAY as exc:
            self._fail(exc)
        return names

    async def check_eviction_policy(self) -> None:
        """Refuse a server that may drop state when it is full.

        Raises:
            StreamrankError: `maxmemory-policy` is another than noeviction.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                servers = await self._servers()
                policies = {address: await self._eviction_policy(target) for address, target in servers.items()}
        except _AWAY as exc:
            self._fail(exc)
        for address, policy in policies.items():
            if policy != "noeviction":
                raise StreamrankError(
                    f"Redis at {address} has maxmemory-policy {policy} and would drop state: set it to noeviction"
                )

    async def _servers(self) -> dict[str, dict[str, Any]]:
        """Return what sends a command to each server that holds data, by its address."""
        if not self._cluster:
            return {self.address: {}}
        await self._client.initialize()
        return {node.name: {"target_nodes": [node]} for node in self._client.get_primaries()}

    async def _eviction_policy(self, target: dict[str, Any]) -> str:
        try:
            found = await self._client.execute_command("CONFIG GET", "maxmemory-policy", **target)
            return {_text(k): _text(v) for k, v in found.items()}["maxmemory-policy"]
        except (exceptions.ResponseError, KeyError):  # an ACL or a cloud provider forbids CONFIG
            return str((await self._client.execute_command("INFO", "memory", **target))["maxmemory_policy"])

    async def close(self) -> None:
        """Close all sockets; the next call would open them anew."""
        await self._client.aclose()

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers, failures of single commands among them."""
        if not commands:
            return []
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._cluster:
                    await self._client.initialize()
                    pipeline = self._client.pipeline()
                else:
                    pipeline = self._client.pipeline(transaction=False)
                for command in commands:
                    pipeline.execute_command(*command)
                answers: list[Any] = await pipeline.execute(raise_on_error=False)
        except _AWAY as exc:
            if self._cluster:
                await self._client.aclose()  # a node may be gone for good: learn the slots anew
            self._fail(exc)
        if self._cluster and any(isinstance(answer, _LOST) for answer in answers):
            await self._client.aclose()
        return answers

    def _fail(self, exc: Exception) -> NoReturn:
        for kind, remedy in _REMEDIES:
            if str(exc).startswith(kind) if isinstance(kind, str) else isinstance(exc, kind):
                raise Unreachable(f"Redis at {self.address} {remedy}") from exc
        raise exc


def client_name(settings: Settings, role: str) -> str:
    """Return what a writer of the settings' namespace is called among the clients of Redis."""
    return f"streamrank-{role}:{settings.key_prefix}"


def connect(settings: Settings, role: str | None = None) -> RedisConnection:
    """Build the connection that the settings describe; nothing is sent yet.

    `role` names what writes through it: others can see that it is there, and that it is gone when it was killed.

    Raises:
        Misuse: `redis_url` is no Redis URL, or `redis_ca_file` does not exist.
    """
    try:
        options: dict[str, Any] = dict(parse_url(settings.redis_url.get_secret_value()))
    except ValueError as exc:
        raise Misuse("redis_url: must look like redis://host:port/0, rediss://… or unix:///path") from exc
    kind = options.pop("connection_class", Connection)
    address = options.get("path") or f"{options.setdefault('host', 'localhost')}:{options.setdefault('port', 6379)}"
    timeouts = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), settings.redis_timeout_s)
    options |= timeouts | {"retry": Retry(NoBackoff(), 0)}
    if role is not None:
        options["client_name"] = client_name(settings, role)
    if settings.redis_username is not None:
        options["username"] = settings.redis_username
    if settings.redis_password is not None:
        options["password"] = settings.redis_password.get_secret_value()
    if settings.redis_ca_file is not None and kind is SSLConnection:
        if not settings.redis_ca_file.is_file():
            raise Misuse(f"redis_ca_file: {settings.redis_ca_file} does not exist")
        options["ssl_ca_certs"] = str(settings.redis_ca_file)
    client: Redis | RedisCluster
    if settings.redis_cluster:
        options.pop("db", None)
        client = RedisCluster(**options, ssl=kind is SSLConnection)
    else:
        client = Redis.from_pool(ConnectionPool(connection_class=kind, **options))
    return RedisConnection(client, address=str(address), timeout_s=settings.redis_timeout_s)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
