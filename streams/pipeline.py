"""One micro-batch, from records to a commit: decode, load, fold, recommend, commit. No Kafka in here.

The worker and the offline simulator run this same class; only the store, the ranker and the clock differ. A batch
holds records of several partitions, each in offset order. One pipelined read, one ranker call, one pipelined commit.
What is to be published comes back as each partition's outbox, to be published before the next commit, which replaces
the outbox in the store.
"""

import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from inference.ranker import Ranker
from streams.contracts.topics import EVENTS, ITEMS
from streams.decode import Decoder, Record
from streams.features.item import Catalogue
from streams.features.meaning import Meanings
from streams.features.user import FOLD_VERSION
from streams.fold_batch import Owned, PartitionBatch, read
from streams.online.score import Scorer
from streams.online.waiting import Waiting, Windows
from streams.push import Pushes
from streams.recommend import Recommender, Route
from streams.rehearsal import rehearse
from streams.retrieval.blend import Retriever, named_sources
from streams.retrieval.counters import Counters
from streams.settings import Settings
from streams.slate.explore import Exploration
from streams.snapshot import Snapshot
from streams.store.base import PRUNE_EVERY, Commit, FeatureStore, Message, Position
from streams.users import UserCache

CACHED_LEDGERS = 20_000
"""Ledgers held in the process, of all partitions; one of ten items takes 2 KB. Others are loaded when needed."""
Clock = Callable[[int], int]
"""From a record's Kafka timestamp to now, both in ms: the wall clock when live, the timestamp itself offline."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch came to.

    `outbox` is what to publish, by partition. `rest` are records that were not touched because a batch must end
    before them: run them next. `fenced` are partitions whose commit was refused, with what the store holds (None:
    nothing): they changed nothing and must be assigned anew. `stats` counts outcomes of what was committed.
    """

    outbox: Mapping[int, Sequence[Message]]
    rest: Mapping[int, Sequence[Record]]
    fenced: Mapping[int, Position | None]
    stats: Mapping[str, int] = field(default_factory=dict)


async def _nothing() -> None:
    """Nothing is to be awaited."""


class Pipeline:
    """The state of a worker between micro-batches. Not thread-safe; `run` calls must not overlap."""

    def __init__(
        self,
        store: FeatureStore,
        ranker: Ranker | None,
        settings: Settings,
        *,
        clock: Clock,
        topic_ids: Mapping[str, str],
        meanings: Meanings | None = None,
        route: Route | None = None,
        scorer: Callable[[], Scorer | None] = lambda: None,
    ) -> None:
        """`topic_ids` maps the broker's names of `events` and `items` to their topic ids.

        Without `meanings` no item has a semantic code. `route` says who ranks for whom, if not `ranker` for all;
        `scorer` returns the online model that has a say.
        """
        self._store = store
        self.settings = settings
        self._clock = clock
        self._topic_ids = {name: topic_ids[settings.topic(name)] for name in (EVENTS, ITEMS)}
        self._topic = (settings.topic(EVENTS), self._topic_ids[EVENTS])
        self._owned: dict[int, Owned] = {}
        self._epoch = 0
        self._name = uuid.uuid4().hex
        self._commits = 0
        self._decoder = Decoder(settings.partitions, settings.max_future_ms)
        self.catalogue = Catalogue()
        self.counters = Counters(self.catalogue)
        self._snapshot = Snapshot(store, self.catalogue, self.counters, settings.partitions, meanings)
        self.recommender = Recommender(
            self.catalogue,
            self.counters,
            Retriever(settings.candidates, named_sources(settings.sources)),
            ranker,
            settings.triton_timeout_s,
            route,
            exploration=Exploration(
                settings.explore_share, settings.explore_temperature, settings.explore_bonus, settings.explore_off
            ),
            scorer=scorer,
        )

    @property
    def watermarks(self) -> dict[int, int]:
        """The watermark (event time, ms) of each owned partition, 0 where none is known."""
        return {p: owned.position.watermark_ms for p, owned in self._owned.items()}

    async def start(self) -> None:
        """Claim the namespace and load catalogue and counters; compile what requests need, so that none waits for it.

        Raises:
            StoreMismatch: the namespace belongs to another partition count or fold version.
            Unreachable: the store is away.
        """
        epochs = await self._store.open(
            partitions=self.settings.partitions,
            fold_version=FOLD_VERSION,
            topic_ids=self._topic_ids,
        )
        self._epoch = epochs[EVENTS]
        rehearse()
        await self._snapshot.load()

    async def assign(self, partitions: Iterable[int]) -> dict[int, Position]:
        """Own these partitions, from what the store holds now; what was believed or cached of them is dropped."""
        wanted = list(partitions)
        stored = await self._store.positions(wanted)
        waiting = await self._store.waiting(wanted)
        windows = _windows(self.settings)
        share = max(1, len(wanted))
        for p in wanted:
            position = stored[p]
            if position is None or position.epoch != self._epoch:
                watermark = position.watermark_ms if position else 0
                position = Position(epoch=self._epoch, watermark_ms=watermark)
            self._owned[p] = Owned(
                position,
                UserCache(max(1, self.settings.cached_users // share)),
                Pushes(self.settings.push_on, self.settings.push_every_ms),
                Waiting(windows, waiting[p], max(1, CACHED_LEDGERS // share)),
            )
        return {p: self._owned[p].position for p in wanted}

    def revoke(self, partitions: Iterable[int]) -> None:
        """Stop owning these partitions."""
        for p in partitions:
            self._owned.pop(p, None)

    async def outbox(self, partition: int) -> list[Message]:
        """Return what the last commit of a partition had to publish; to be published again on assignment."""
        return await self._store.outbox(partition)

    async def refresh(self) -> None:
        """Take in what changed of catalogue and counters since the last refresh."""
        await self._snapshot.refresh()

    async def run(
        self,
        batch: Mapping[int, Sequence[Record]],
        lost: Mapping[int, int] | None = None,
        before_commit: Callable[[], Awaitable[None]] = _nothing,
    ) -> Outcome:
        """Process records up to and including the commit.

        `batch` maps owned partitions to their next records; `lost` counts records that the broker's retention took
        before them. `before_commit` is awaited when all else is done: by its end the outbox of the last commit must be
        published. Until the commit nothing is changed, so after an error the same batch can be run again.

        Raises:
            Unreachable: the store is away; whether the commit got through, the next run will find out.
        """
        now, rest = self._cut(batch)
        if self.settings.snapshot_every_events and any(
            self._owned[p].position.applied % self.settings.snapshot_every_events == 0 for p in now
        ):
            await self.refresh()
        batches = [PartitionBatch(self._owned[p], records, self._topic) for p, records in now.items()]
        await read(batches, self._decoder, self._store)
        for one in batches:
            one.fold(self._clock)
        await self._recommend(batches)
        for one in batches:
            one.join(self.catalogue)
        commits = [one.commit(self._token(), (lost or {}).get(one.partition, 0)) for one in batches]
        await before_commit()
        return await self._commit(batches, commits, rest)

    def _cut(
        self, batch: Mapping[int, Sequence[Record]]
    ) -> tuple[dict[int, Sequence[Record]], dict[int, Sequence[Record]]]:
        """Split each partition's records where a prune or a counted refresh must come first."""
        every = self.settings.snapshot_every_events or PRUNE_EVERY
        now, rest = {}, {}
        for p, records in batch.items():
            applied = self._owned[p].position.applied
            room = min(n - applied % n for n in (every, PRUNE_EVERY))
            now[p] = records[:room]
            if len(records) > room:
                rest[p] = records[room:]
        return now, rest

    async def _recommend(self, batches: Sequence[PartitionBatch]) -> None:
        """Answer the asks of all partitions with one ranker call a version that serves."""
        prepared = [pair for one in batches for pair in one.prepare(self.recommender)]
        if not prepared:
            return
        for (one, ready), scored in zip(prepared, await self.recommender.score([r for _, r in prepared]), strict=True):
            now_ms = self._clock(ready.ask.received_ms)
            one.answer(self.recommender.slate(ready, *scored, now_ms), ready)

    async def _commit(
        self,
        batches: Sequence[PartitionBatch],
        commits: Sequence[Commit],
        rest: dict[int, Sequence[Record]],
    ) -> Outcome:
        outbox: dict[int, Sequence[Message]] = {}
        fenced: dict[int, Position | None] = {}
        stats: dict[str, int] = {}
        answers = await self._store.commit(commits)
        for one, commit, answer in zip(batches, commits, answers, strict=True):
            if answer.fenced:
                fenced[one.partition] = answer.stored
                rest.pop(one.partition, None)
                self._owned.pop(one.partition, None)
                continue
            owned = self._owned.get(one.partition)
            if owned is not None:  # not revoked meanwhile
                owned.position = commit.position
                owned.users.update(one.loaded)
                owned.users.update(one.states)
                owned.pushes.update(one.pushed)
                if one.joined:
                    one.joined.apply()
            outbox[one.partition] = commit.outbox
            for name, count in commit.stats.items():
                stats[name] = stats.get(name, 0) + count
        return Outcome(outbox, rest, fenced, stats)

    def _token(self) -> str:
        self._commits += 1
        return f"{self._name}-{self._commits}"


def _windows(settings: Settings) -> Windows:
    """Return how long slates wait for their outcome."""
    signal_ms = round(settings.attribution_window_s * 1000)
    purchase_s = settings.purchase_window_s
    if not signal_ms or purchase_s is None:
        return Windows(signal_ms, signal_ms)
    return Windows(signal_ms, round(purchase_s * 1000))
