"""One partition's share of a micro-batch: its records become new states, counters, asks, joins and an outbox.

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
from streams.features.item import Catalogue
from streams.features.user import EMPTY, UserState, current, fold, pack_state, unpack_state
from streams.online.join import CLOSED_BY_RECORD, CLOSED_BY_TICK, Join, Step
from streams.online.ledger import Ledger, ledger_of, unpack_ledger
from streams.online.waiting import Waiting
from streams.outbox import Outbox
from streams.push import STALE_AFTER_MS, Pushes
from streams.recommend import Ask, Prepared, Recommender
from streams.store.base import PRUNE_EVERY, Commit, FeatureStore, Position
from streams.users import UserCache

CLOCK_SKEW_MS = 60_000
"""How far a producer's clock may be ahead of Kafka's before the watermark stops following it."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Owned:
    """What is believed of a partition that is owned; changes only when a commit was done.

    Without `waiting`, nothing is joined with its outcome: a backfill answers no requests.
    """

    position: Position
    users: UserCache
    pushes: Pushes
    waiting: Waiting | None = None


class PartitionBatch:
    """Records of one partition on their way: `decode`, `fold`, `prepare`, `answer`, `join`, `commit`."""

    def __init__(self, owned: Owned, records: Sequence[Record], topic: tuple[str, str]) -> None:
        """`topic` is the broker's name of `events`, and its topic id."""
        self.partition = records[0].partition
        self.loaded: Mapping[str, UserState] = {}
        self.states: dict[str, UserState] = {}
        self.pushed: dict[str, int] = {}
        self.ledgers: Mapping[str, Ledger] = {}
        self.joined: Join | None = None
        self._owned = owned
        self._records = records
        self._decoded: list[Decoded] = []
        self._asks: list[tuple[Record, Ask]] = []
        self._steps: list[Step] = []
        self._served: dict[int, tuple[Slate, Prepared]] = {}
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

    def missing_ledgers(self) -> list[str]:
        """Return the slates whose ledgers must be loaded, once the records are decoded."""
        if not self._owned.waiting:
            return []
        reached_ms = max([self._watermark_ms, *map(_sure_ms, self._decoded)])
        users = {one.event.user_id for one in self._decoded if not isinstance(one.event, ev.Tick)}
        ticks = sum(isinstance(one.event, ev.Tick) for one in self._decoded)
        limit = ticks * CLOSED_BY_TICK + (len(self._decoded) - ticks) * CLOSED_BY_RECORD
        return self._owned.waiting.missing(users, reached_ms, limit)

    def fold(self, clock: Callable[[int], int]) -> None:
        """Fold the events into states and counters, and collect the asks with the state at their own offset."""
        for decoded in self._decoded:
            record, event = decoded.record, decoded.event
            self._watermark_ms = max(self._watermark_ms, _sure_ms(decoded))
            if isinstance(event, ev.Tick):
                self._stats["ticks"] += 1
                self._steps.append(Step(record.offset, self._watermark_ms, None, decoded.at_ms, CLOSED_BY_TICK))
                continue
            changed = None
            try:
                changed = self._fold_one(decoded, event, clock(record.timestamp_ms))
            except Exception as exc:  # poison: as above
                _log.exception("event could not be folded", extra={"offset": record.offset})
                self._refuse(record, BadEvent(f"could not be processed: {type(exc).__name__}: {exc}"))
            self._steps.append(Step(record.offset, self._watermark_ms, changed, decoded.at_ms))

    def prepare(self, recommender: Recommender) -> Iterator[tuple["PartitionBatch", Prepared]]:
        """Yield each ask, retrieved and encoded, with this batch."""
        for record, ask in self._asks:
            try:
                yield self, recommender.prepare(ask)
            except Exception as exc:  # poison: as above
                self._stats["applied"] -= 1  # every record has one outcome
                _log.exception("request could not be answered", extra={"request_id": ask.request_id})
                self._refuse(record, BadEvent(f"could not be answered: {type(exc).__name__}: {exc}"))

    def answer(self, slate: Slate, ready: Prepared) -> None:
        """Take in the slate of an ask."""
        self._outbox.slate(slate, ready.ask.request.reply_to)
        self._stats["slates"] += 1
        self._stats[f"slates_{slate.served_by}"] += 1
        if slate.items:
            self._served[int(slate.slate_id.rpartition("-")[2])] = slate, ready

    def join(self, catalogue: Catalogue) -> None:
        """Join the slates that wait, and those that were answered, with what the records say of them."""
        waiting = self._owned.waiting
        if waiting is None:
            return
        if not waiting.windows.close_ms:
            self._served.clear()
        place = f"{self._owned.position.epoch}-{self.partition}"
        self.joined = Join(waiting, self.ledgers, place)
        for step in self._steps:
            try:
                served = self._served.get(step.offset)
                self.joined.step(step, served and _ledger(*served, step.watermark_ms, catalogue))
            except Exception:  # poison: as above; the event itself is folded
                self._stats["feedback_failed"] += 1
                _log.exception("event could not be joined", extra={"offset": step.offset})
        for offset, feedback in self.joined.closed:
            self._outbox.feedback(offset, feedback)
        self._stats.update(self.joined.stats)

    def commit(self, token: str, lost: int) -> Commit:
        """Return all that this batch changes; `lost` records before it were taken by the broker's retention."""
        believed, last = self._owned.position, self._records[-1].offset
        if lost:
            self._stats["lost"] += lost
        ledgers, opened = self.joined.writes() if self.joined else ({}, {})
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
            ledgers=ledgers,
            opened=opened,
            counts=self._counts,
            stats=self._stats,
            outbox=self._outbox.messages(),
            prune=believed.applied > 0 and believed.applied % PRUNE_EVERY == 0,
        )

    def _fold_one(self, decoded: Decoded, event: ev.UserEvent, now_ms: int) -> ev.UserEvent | None:
        """Fold an event; return it, or None if it is a repeat."""
        user, at_ms = event.user_id, decoded.at_ms
        before = current(self._state(user), at_ms)
        after = fold(before, event, at_ms)
        if after is before:
            self._stats["duplicates"] += 1
            return None
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
        elif self._owned.pushes.due(event, at_ms, self.pushed):
            self._push(decoded, event, now_ms)
        return event

    def _state(self, user: str) -> UserState:
        state = self.states.get(user) or self._owned.users.get(user) or self.loaded.get(user)
        return EMPTY if state is None else state

    def _push(self, decoded: Decoded, event: ev.UserEvent, now_ms: int) -> None:
        if now_ms - decoded.record.timestamp_ms > STALE_AFTER_MS:
            self._stats["pushes_shed"] += 1
            return
        self.pushed[event.user_id] = decoded.at_ms
        self._ask(decoded, ev.Request(user_id=event.user_id, request_id="push", context=event.context), None)

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
    """Decode the batches, and load the states and ledgers that are not cached, in one round trip.

    Raises:
        Unreachable: the store is away.
    """
    users = [(one.partition, user) for one in batches for user in one.decode(decoder)]
    slates = [(one.partition, slate) for one in batches for slate in one.missing_ledgers()]
    if not users and not slates:
        return
    found = await store.load(users, slates)
    states: dict[int, dict[str, UserState]] = {}
    for (partition, user), packed in zip(users, found, strict=False):
        if packed is not None:
            states.setdefault(partition, {})[user] = unpack_state(packed)
    ledgers: dict[int, dict[str, Ledger]] = {}
    for (partition, slate), packed in zip(slates, found[len(users) :], strict=True):
        if packed is not None:
            ledgers.setdefault(partition, {})[slate] = unpack_ledger(packed)
    for one in batches:
        one.loaded = states.get(one.partition, {})
        one.ledgers = ledgers.get(one.partition, {})


def _sure_ms(decoded: Decoded) -> int:
    """Return the time up to which a record moves the watermark."""
    return min(decoded.at_ms, decoded.record.timestamp_ms + CLOCK_SKEW_MS)


def _ledger(slate: Slate, ready: Prepared, watermark_ms: int, catalogue: Catalogue) -> Ledger:
    ask = ready.ask
    return ledger_of(
        slate, ask.request, ask.at_ms, watermark_ms, ready.history, ready.candidates, ready.features, catalogue
    )
