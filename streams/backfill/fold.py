"""Some partitions of a backfill: records become batches, batches become commits, as in the worker.

It is the worker's batch without its last third: requests are folded and not answered, nothing is pushed, and the outbox
stays empty, as a log's past is nobody's news. What the worker would send to dead letters comes back as rejects.
Batches are cut where the worker cuts them, so counters are pruned at the same records. Invariant: `applied` of a stored
position is how many records of its partition, in the log's order, the state has seen; an interrupted run goes on there.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from streams.contracts.slates import DeadLetter
from streams.contracts.topics import DEAD_LETTERS
from streams.decode import Decoder, Record
from streams.errors import StreamrankError
from streams.fold_batch import Owned, PartitionBatch, read
from streams.push import Pushes
from streams.settings import Settings
from streams.store.base import PRUNE_EVERY, Commit, FeatureStore, Position
from streams.users import UserCache

COMMIT_RECORDS = 500
"""Records of a partition in one commit: what a chunk of the worker's has, and a few milliseconds of Redis's time."""

Numbered = tuple[int, Record]
"""A record and its line in the log."""
_letter = msgspec.json.Decoder(DeadLetter)


class Fenced(StreamrankError):
    """Somebody else wrote to the namespace: stop that worker or backfill, then run this one again."""


class PartitionFold:
    """The partitions of one process; `add` records in the log's order, `commit` now and then and at the end."""

    def __init__(
        self,
        store: FeatureStore,
        decoder: Decoder,
        settings: Settings,
        topic: tuple[str, str],
        stored: Mapping[int, Position],
        cached_users: int,
    ) -> None:
        """`stored` is what each of these partitions holds; `topic` is the broker's name of `events` and its id."""
        self._store = store
        self._decoder = decoder
        self._topic = topic
        self._key_prefix = settings.key_prefix
        cached = max(1, cached_users // len(stored))
        self._owned = {p: Owned(at, UserCache(cached), Pushes(frozenset(), 0)) for p, at in stored.items()}
        self._done_before = {p: at.applied for p, at in stored.items()}
        self._waiting: dict[int, list[Numbered]] = {p: [] for p in stored}
        self.waiting = 0
        """Records that are not committed yet."""

    def __contains__(self, partition: int) -> bool:
        """Tell whether a partition is one of these."""
        return partition in self._owned

    def add(self, number: int, record: Record) -> None:
        """Take the next record of a partition; it is left out if an earlier run has applied it."""
        if self._done_before[record.partition]:
            self._done_before[record.partition] -= 1
            return
        self._waiting[record.partition].append((number, record))
        self.waiting += 1

    async def commit(self) -> list[tuple[int, str]]:
        """Fold and commit everything that waits; return the lines that are no events, and why.

        Raises:
            Unreachable: Redis is away; what was committed stays, and a new run goes on behind it.
            Fenced: another process writes to one of these partitions.
        """
        rejects: list[tuple[int, str]] = []
        while self.waiting:
            taken = {p: self._next(p) for p, waiting in self._waiting.items() if waiting}
            batches = [PartitionBatch(self._owned[p], [r for _, r in some], self._topic) for p, some in taken.items()]
            await read(batches, self._decoder, self._store)
            for batch in batches:
                batch.fold(lambda at_ms: at_ms)
            commits = [batch.commit(uuid.uuid4().hex, 0) for batch in batches]
            await self._store_all(batches, commits)
            for one in commits:
                rejects += _rejects(one, taken[one.partition])
        return rejects

    def _next(self, partition: int) -> Sequence[Numbered]:
        applied, waiting = self._owned[partition].position.applied, self._waiting[partition]
        taken = waiting[: min(COMMIT_RECORDS, PRUNE_EVERY - applied % PRUNE_EVERY)]
        del waiting[: len(taken)]
        self.waiting -= len(taken)
        return taken

    async def _store_all(self, batches: Sequence[PartitionBatch], commits: Sequence[Commit]) -> None:
        answers = await self._store.commit([replace(one, outbox=()) for one in commits])
        for batch, one, answer in zip(batches, commits, answers, strict=True):
            if answer.fenced:
                raise Fenced(
                    f"partition {one.partition} of key prefix {self._key_prefix!r} was written by another process: "
                    "stop that worker or backfill, then run this again"
                )
            owned = self._owned[one.partition]
            owned.position = one.position
            owned.users.update(batch.loaded)
            owned.users.update(batch.states)


def _rejects(commit: Commit, taken: Sequence[Numbered]) -> Iterator[tuple[int, str]]:
    lines = {record.offset: number for number, record in reversed(taken)}
    for message in commit.outbox:
        if message.topic == DEAD_LETTERS:
            letter = _letter.decode(message.value)
            yield lines[letter.offset], f"{letter.path}: {letter.reason}"
