"""One partition's share of a micro-batch: its records become new states, counters, asks and an outbox.

Pure but for the clock it is given. Everything is collected here and takes effect with the commit alone, so a batch
whose commit failed can be run again. Any record that can't be dealt with becomes a dead letter, whatever is wrong.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from streams.contracts import events as ev
from streams.contracts.slates import Slate
from streams.decode import Decoded, Decoder, Record
from streams.errors import BadEvent
from streams.features.counts import count, new_counts
from streams.features.user import EMPTY, UserState, current, fold, pack_state, unpack_state
from streams.outbox import Outbox
from streams.push import Pushes
from streams.recommend import Ask, Prepared, Recommender
from streams.store.base import PRUNE_EVERY, Commit, FeatureStore, Position
from streams.users import UserCache

CLOCK_SKEW_MS = 60_000
"""How far a producer's clock may be ahead of Kafka's before the watermark stops following it."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Owned:
    """What is believed of a partition that is owned; changes only when a commit was done."""

    position: Position
    users: UserCache
    pushes: Pushes


class PartitionBatch:
    """Records of one partition on their way through a batch: `decode`, `fold`, `prepare`, `answer`, `commit`."""

    def __init__(self, owned: Owned, records: Sequence[Record], topic: tuple[str, str]) -> None:
        """`topic` is the broker's name of `events`, and its topic id."""
        self.partition = records[0].partition
        self.loaded: Mapping[str, UserState] = {}
        self.states: dict[str, UserState] = {}
        self.pushed: dict[str, int] = {}
        self._owned = owned
        self._records = records
        self._decoded: list[Decoded] = []
        self._asks: list[tuple[Record, Ask]] = []
        self._counts = new_counts()
        self._stats: Counter[str] = Counter()
        self._watermark_ms = owned.position.watermark_ms
        self._outbox = Outbox(self.partition, owned.position.epoch, topic)

    def decode(self, decoder: Decoder) -> list[str]:
        """Decode the records; return the users whose states must be loaded."""
        missing: dict[str, None] = {}
        checked: set[bytes] = set()
        for record in self._records:
            key = record.key
            try:
                decoded = decoder.decode(record, trusted_key=key if key in checked else None)
            except BadEvent as exc:
                self._refuse(record, exc)
                continue
            except Exception as exc:  # poison: one record must not stop its partition
                _log.exception("record could not be decoded", extra={"offset": record.offset})
                self._refuse(record, BadEvent(f"could not be decoded: {type(exc).__name__}: {exc}"))
                continue
            self._decoded.append(decoded)
            if isinstance(decoded.event, ev.Tick):
                continue
            checked.add(key)  # type: ignore[arg-type]
            if decoded.event.user_id not in self._owned.users:
                missing[decoded.event.user_id] = None
        return list(missing)

    def fold(self, clock: Callable[[int], int]) -> None:
        """Fold the events into states and counters, and collect the asks with the state at their own offset."""
        for decoded in self._decoded:
            record, event = decoded.record, decoded.event
            sure_ms = min(decoded.at_ms, record.timestamp_ms + CLOCK_SKEW_MS)
            self._watermark_ms = max(self._watermark_ms, sure_ms)
            if isinstance(event, ev.Tick):
                self._stats["ticks"] += 1
                continue
            try:
                self._fold_one(decoded, event, clock(record.timestamp_ms))
            except Exception as exc:  # poison: as above
                _log.exception("event could not be folded", extra={"offset": record.offset})
                self._refuse(record, BadEvent(f"could not be processed: {type(exc).__name__}: {exc}"))

    def prepare(self, recommender: Recommender) -> Iterator[tuple["PartitionBatch", Prepared]]:
        """Yield each ask, retrieved and encoded, with this batch."""
        for record, ask in self._asks:
            try:
                yield self, recommender.prepare(ask)
            except Exception as exc:  # poison: as above
                self._stats["applied"] -= 1  # every record has one outcome
                _log.exception("request could not be answered", extra={"request_id": ask.request_id})
                self._refuse(record, BadEvent(f"could not be answered: {type(exc).__name__}: {exc}"))

    def answer(self, slate: Slate, request: ev.Request) -> None:
        """Take in the slate of an ask."""
        self._outbox.slate(slate, request.reply_to)
        self._stats["slates"] += 1
        self._stats[f"slates_{slate.served_by}"] += 1

    def commit(self, token: str, lost: int) -> Commit:
        """Return all that this batch changes; `lost` records before it were taken by the broker's retention."""
        believed, last = self._owned.position, self._records[-1].offset
        if lost:
            self._stats["lost"] += lost
        return Commit(
            partition=self.partition,
            believed=believed,
            position=Position(
                epoch=believed.epoch,
                offset=last,
                watermark_ms=self._watermark_ms,
                applied=believed.applied + len(self._records),
            ),
            token=token,
            states={user: pack_state(s) if s.last_ms else None for user, s in self.states.items()},
            counts=self._counts,
            stats=self._stats,
            outbox=self._outbox.messages(),
            prune=believed.applied > 0 and believed.applied % PRUNE_EVERY == 0,
        )

    def _fold_one(self, decoded: Decoded, event: ev.UserEvent, now_ms: int) -> None:
        user, at_ms = event.user_id, decoded.at_ms
        before = current(self._state(user), at_ms)
        after = fold(before, event, at_ms)
        if after is before:
            self._stats["duplicates"] += 1
            return
        self.states[user] = after
        self._stats["applied"] += 1
        count(self._counts, before, event, at_ms)
        if isinstance(event, ev.Request):
            self._requested(decoded, event, now_ms)
        elif isinstance(event, ev.Forget):
            self._outbox.receipt(decoded.record.offset, user, at_ms)
        elif isinstance(event, ev.Alias):
            if before.last_ms and event.login != user:
                self._outbox.absorb(decoded.record.offset, event, pack_state(before), at_ms)
        elif self._owned.pushes.due(event, at_ms, now_ms - decoded.record.timestamp_ms, self.pushed):
            self.pushed[user] = at_ms
            self._ask(decoded, ev.Request(user_id=user, request_id="push"), None)

    def _state(self, user: str) -> UserState:
        state = self.states.get(user) or self._owned.users.get(user) or self.loaded.get(user)
        return EMPTY if state is None else state

    def _requested(self, decoded: Decoded, request: ev.Request, now_ms: int) -> None:
        if request.deadline_ms is not None and request.deadline_ms < now_ms:
            self._stats["expired"] += 1
        else:
            self._ask(decoded, request, request.request_id)

    def _ask(self, decoded: Decoded, request: ev.Request, request_id: str | None) -> None:
        record = decoded.record
        slate_id = f"{self._owned.position.epoch}-{record.partition}-{record.offset}"
        state = self.states[request.user_id]
        ask = Ask(slate_id, request, request_id, state, decoded.at_ms, record.timestamp_ms)
        self._asks.append((record, ask))

    def _refuse(self, record: Record, error: BadEvent) -> None:
        self._outbox.dead_letter(record, error)
        self._stats["dead_letters"] += 1


async def read(batches: Sequence[PartitionBatch], decoder: Decoder, store: FeatureStore) -> None:
    """Decode the batches, and load the states that are not cached, in one round trip.

    Raises:
        Unreachable: the store is away.
    """
    wanted = [(one.partition, user) for one in batches for user in one.decode(decoder)]
    if not wanted:
        return
    loaded: dict[int, dict[str, UserState]] = {}
    for (partition, user), packed in zip(wanted, await store.load(wanted), strict=True):
        if packed is not None:
            loaded.setdefault(partition, {})[user] = unpack_state(packed)
    for one in batches:
        one.loaded = loaded.get(one.partition, {})
