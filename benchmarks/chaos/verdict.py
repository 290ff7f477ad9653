"""The verdict on a schedule: what Redis and the topics hold, compared with the reference, user by user."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from benchmarks.chaos.logs import read
from benchmarks.chaos.reference import Letter, Reference, counters, reference
from streams.contracts import events as ev
from streams.contracts.topics import DEAD_LETTERS, EVENTS, FEEDBACK, ITEMS, RECOMMENDATIONS
from streams.decode import Record
from streams.errors import BadEvent
from streams.settings import Settings
from streams.store.redis import RedisStore

OUTCOMES = ("applied", "duplicates", "dead_letters", "ticks")
_SHOWN = 3


class SlateNames(msgspec.Struct):
    """What a slate is called, and what it answers."""

    slate_id: str
    request_id: str | None


class _Feedback(msgspec.Struct):
    feedback_id: str


class _Letter(msgspec.Struct):
    topic: str
    partition: int
    offset: int


slate_names = msgspec.json.Decoder(SlateNames).decode
_feedback = msgspec.json.Decoder(_Feedback).decode
_letter = msgspec.json.Decoder(_Letter).decode


@dataclass(slots=True)
class Verdict:
    """What a schedule came to; `broken` is empty if every promise was kept."""

    events: int = 0
    """Records of `events` that are accounted for, the worker's own ticks not counted."""
    applied: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    lost: int = 0
    twice: int = 0
    users: int = 0
    users_different: int = 0
    slates: int = 0
    repeated: int = 0
    """Slates that were published more than once, byte for byte the same."""
    expired: int = 0
    broken: list[str] = field(default_factory=list)

    def expect(self, good: object, sentence: str) -> None:
        """Note what is broken, if it isn't good."""
        if not good:
            self.broken.append(sentence)


async def verdict(settings: Settings) -> Verdict:
    """Judge a namespace whose workers have ended in order, with nothing left to do."""
    store = RedisStore.from_settings(settings)
    try:
        found = Verdict()
        stored = await store.positions(range(settings.partitions))
        ends = {p: at.offset + 1 if at else 0 for p, at in stored.items()}
        events = list(read(settings, EVENTS))
        left = Counter(r.partition for r in events if r.offset >= ends[r.partition] and not _is_tick(r))
        for partition, number in sorted(left.items()):
            found.broken.append(f"events-{partition}: {number} from {ends[partition]} on were never applied")
        applied = (record for record in events if record.offset < ends[record.partition])
        expected = await reference(settings, applied, read(settings, ITEMS))
        stats = await store.stats(range(settings.partitions))
        _outcomes(found, expected, stats)
        await _states(found, expected, store, settings)
        _slates(found, expected, settings, stats)
        _letters(found, expected, settings)
        _feedbacks(found, settings, stats)
        return found
    finally:
        await store.close()


def _is_tick(record: Record) -> bool:
    try:
        return isinstance(ev.decode_event(record.value or b""), ev.Tick)
    except BadEvent:
        return False


def _outcomes(found: Verdict, expected: Reference, stats: Mapping[str, int]) -> None:
    counted = {name: stats.get(name, 0) for name in OUTCOMES}
    found.applied, found.duplicates, found.dead_letters, _ = counted.values()
    found.events = sum(expected.outcomes.values()) - expected.outcomes["ticks"]
    more = sum(counted.values()) - sum(expected.outcomes.values())
    found.lost, found.twice = max(-more, 0), max(more, 0)
    wanted = {name: expected.outcomes[name] for name in OUTCOMES}
    found.expect(counted == wanted, f"outcomes are {counted}, the log's are {wanted}")
    found.expect(not stats.get("lost"), f"{stats.get('lost')} records were counted as lost to retention")


async def _states(found: Verdict, expected: Reference, store: RedisStore, settings: Settings) -> None:
    partitions = range(settings.partitions)
    held = {user: state for p in partitions async for user, state in store.states(p)}
    wanted = expected.packed()
    different = sorted(user for user in held.keys() | wanted.keys() if held.get(user) != wanted.get(user))
    found.users, found.users_different = len(wanted), len(different)
    found.expect(not different, f"{len(different)} users differ from the fold, as {', '.join(different[:_SHOWN])}")
    sums = {cell: value for p in partitions for cell, value in (await counters(store, p)).items()}
    off = [cell for cell in sums.keys() | expected.counters.keys() if sums.get(cell) != expected.counters.get(cell)]
    found.expect(not off, f"{len(off)} counters differ from the fold, as {off[:_SHOWN]}")
    items = {change.item_id: change.value async for part in store.items() for change in part}
    wrong = [
        item for item in items.keys() | expected.catalogue.keys() if items.get(item) != expected.catalogue.get(item)
    ]
    found.expect(not wrong, f"{len(wrong)} items differ from their last change, as {wrong[:_SHOWN]}")


def _slates(found: Verdict, expected: Reference, settings: Settings, stats: Mapping[str, int]) -> None:
    versions: dict[str, list[bytes]] = defaultdict(list)
    answered: set[str | None] = set()
    for record in read(settings, RECOMMENDATIONS):
        slate = slate_names(record.value or b"")
        versions[slate.slate_id].append(record.value or b"")
        answered.add(slate.request_id)
    found.slates, found.expired = len(versions), stats.get("expired", 0)
    found.repeated = sum(len(copies) > 1 for copies in versions.values())
    changed = [slate_id for slate_id, copies in versions.items() if len(set(copies)) > 1]
    found.expect(not changed, f"{len(changed)} slates were repeated with other bytes, as {changed[:_SHOWN]}")
    found.expect(
        found.slates == stats.get("slates", 0), f"{found.slates} slates came, {stats.get('slates', 0)} were made"
    )
    silent = {name: has_deadline for name, has_deadline in expected.requests.items() if name not in answered}
    without = [name for name, has_deadline in silent.items() if not has_deadline]
    found.expect(not without, f"{len(without)} requests without a deadline got no answer, as {without[:_SHOWN]}")
    found.expect(
        len(silent) == found.expired, f"{len(silent)} requests got no answer, {found.expired} were counted as expired"
    )


def _letters(found: Verdict, expected: Reference, settings: Settings) -> None:
    copies: dict[Letter, set[bytes]] = defaultdict(set)
    for record in read(settings, DEAD_LETTERS):
        letter = _letter(record.value or b"")
        copies[letter.topic.removeprefix(settings.topic_prefix), letter.partition, letter.offset].add(
            record.value or b""
        )
    off = copies.keys() ^ expected.letters
    found.expect(not off, f"{len(off)} dead letters are missing or too many, as {sorted(off)[:_SHOWN]}")
    changed = [place for place, values in copies.items() if len(values) > 1]
    found.expect(not changed, f"{len(changed)} dead letters were repeated with other bytes, as {changed[:_SHOWN]}")


def _feedbacks(found: Verdict, settings: Settings, stats: Mapping[str, int]) -> None:
    """Count joined records and receipts; `feedback_written` counts the joined ones alone."""
    copies: dict[str, set[bytes]] = defaultdict(set)
    for record in read(settings, FEEDBACK):
        copies[_feedback(record.value or b"").feedback_id].add(record.value or b"")
    changed = [name for name, values in copies.items() if len(values) > 1]
    found.expect(not changed, f"{len(changed)} feedback records were repeated with other bytes, as {changed[:_SHOWN]}")
    joined = sum(b'"type":"feedback"' in value for values in copies.values() for value in values)
    written = stats.get("feedback_written", 0)
    found.expect(joined == written, f"{joined} feedback records came, {written} were written")
