"""The first reading of a log, before anything is written: its kind, and what each process must know of all of it.

An alias moves a history to a user who may lie in another process's partitions; those pairs are gathered here. A log
with offsets or with `absorb` events is a copy of the topic, where Streamrank has made the moves: none is made again.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from streams.backfill.lines import Router
from streams.contracts.events import decode_event
from streams.errors import BadEvent, Misuse
from streams.event_log import EventLog, files_of

_SAMPLE_BYTES = 1 << 20
_TOLD_EVERY = 5_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Survey:
    """What one reading of a log found, in lines.

    `identity` tells this log from another. `numbered` says that the lines carry partitions and offsets. `aliases` are
    the pairs (anonymous user, login) whose history is still to be moved.
    """

    identity: str
    records: int
    repeats: int
    rejected: int
    numbered: bool
    aliases: tuple[tuple[str, str], ...]


def survey(
    log: EventLog, partitions: int, on_reject: Callable[[int, str], None], on_progress: Callable[[], None]
) -> Survey:
    """Read all of a log; `on_reject` is told of each line that can't be placed.

    Raises:
        Misuse: it can't be read, has no events, is not sorted, or is that of another partition count.
    """
    router = Router(log.path, partitions)
    records = repeats = rejected = misplaced = 0
    aliases: dict[tuple[str, str], None] = {}
    absorbed = sound = False
    for number, line in log:
        try:
            routed = router.route(number, line)
        except BadEvent as exc:
            rejected += 1
            misplaced += exc.path == "$._partition"
            on_reject(number, str(exc))
            continue
        if routed is None:
            repeats += 1
            continue
        records += 1
        sound = sound or _is_event(line)
        head = routed[0]
        absorbed = absorbed or head.type == "absorb"
        if head.type == "alias" and isinstance(head.login, str) and head.user_id not in (None, head.login):
            aliases[str(head.user_id), head.login] = None
        if number % _TOLD_EVERY == 0:
            on_progress()
    _check(log, records if sound else 0, records + rejected, misplaced, partitions)
    if router.numbered and aliases and not absorbed:
        _log.warning(
            "aliases without absorbs: the histories that they move must lie in the topic, behind the log",
            extra={"aliases": len(aliases)},
        )
    moves = () if absorbed or router.numbered else tuple(aliases)
    return Survey(_identity(log), records, repeats, rejected, bool(router.numbered), moves)


def _is_event(line: bytes) -> bool:
    try:
        decode_event(line)
    except BadEvent:
        return False
    return True


def _check(log: EventLog, events: int, lines: int, misplaced: int, partitions: int) -> None:
    if misplaced > events:
        raise Misuse(
            f"{log.path}: {misplaced} of its lines lie in another partition than their user does among {partitions}: "
            "correct the setting partitions"
        )
    if not events:
        raise Misuse(
            f"{log.path}: none of its {lines} lines is an event: is it that kind of log?"
            if lines
            else f"{log.path}: the log has no lines: name another one"
        )


def _identity(log: EventLog) -> str:
    """Return name, size and the hash of the beginning, which is enough to notice another log; of a lake its files."""
    if log.path.is_dir():
        digest = hashlib.sha256("".join(path.name for path in files_of(log.path)).encode()).hexdigest()
        return f"{log.path.name}, {len(files_of(log.path))} files, sha256 of their names {digest}"
    try:
        with log.path.open("rb") as raw:
            digest = hashlib.sha256(raw.read(_SAMPLE_BYTES)).hexdigest()
    except OSError as exc:
        raise Misuse(f"{log.path}: cannot read the log: {exc.strerror}") from exc
    return f"{log.path.name}, {log.path.stat().st_size} bytes, sha256 {digest}"
