"""What a training may learn from: the part of a log that a protocol teaches, the same each time it is read."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streams.contracts.items import Item
from streams.errors import Misuse
from streams.evaluation.base import Case
from streams.evaluation.log import Entry, Log
from streams.evaluation.protocols import PROTOCOLS, Chosen
from streams.evaluation.protocols.hidden import Hidden
from streams.event_log import ITEMS, files_of, find_file


class Lesson:
    """A log with its catalogue, up to the first case of a protocol: what is predicted afterwards was never seen."""

    def __init__(self, path: Path, protocol: str | None = None, chosen: Chosen | None = None) -> None:
        """Find the files; without a protocol all of the log is learned.

        Raises:
            Misuse: there is no such log, or the protocol can't be run so.
        """
        self.log = Log(path)
        self._folder = path
        self._name = protocol
        self._chosen = chosen or Chosen()
        self._protocol = None if protocol is None else PROTOCOLS[protocol](self._chosen)

    def entries(self) -> Iterator[Entry]:
        """Yield the events.

        Raises:
            Misuse: the log can't be read.
        """
        for step in self.log if self._protocol is None else self._protocol.walk(self.log):
            if isinstance(step, Case):
                return  # from the first case on a protocol may teach what it has predicted
            yield step

    def items(self) -> Iterator[Item]:
        """Yield the catalogue, without what the protocol hides: the shop publishes it only afterwards.

        Were it there, a student would learn that what nobody touched yet is never wanted.
        """
        hidden = self._protocol if isinstance(self._protocol, Hidden) else None
        return (item for item in self.log.items() if hidden is None or not hidden.hides(item.item_id))

    def identity(self) -> dict[str, Any]:
        """Return what tells it from any other: hashes of its files, which are read for it, and the protocol.

        Raises:
            Misuse: a file can't be read.
        """
        items = find_file(self._folder, ITEMS) if self._folder.is_dir() else None
        hidden = {"hide": self._chosen.hide, "hide_seed": self._chosen.seed} if self._chosen.hide else {}
        return {
            "sha256": sha256_of(*files_of(self.log.path)),
            "items_sha256": items and sha256_of(items),
            "protocol": {"name": self._name, "split_ms": self._chosen.split_ms, "strict": self._chosen.strict} | hidden,
        }


def sha256_of(*paths: Path) -> str:
    """Return the hash of the contents of files.

    Raises:
        Misuse: one can't be read.
    """
    digests = []
    for path in paths:
        try:
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as exc:
            raise Misuse(f"{path}: cannot be read: {exc.strerror}") from exc
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
