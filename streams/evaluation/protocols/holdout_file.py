"""Sessions to complete: the log is learned first, then each line of a holdout file is a fresh session.

Nothing is known of the user of a line but its items, and nobody learned those.
"""

from collections import Counter
from collections.abc import Iterator

from streams.contracts.holdout import Holdout, decode_holdout
from streams.errors import BadEvent, Misuse
from streams.evaluation.base import Case
from streams.evaluation.log import Entry, Log, signal
from streams.evaluation.protocols.base import HISTORY, LAST_PART, Chosen
from streams.event_log import HOLDOUT, find_file, read_lines


class HoldoutFile:
    """See the module."""

    def __init__(self, chosen: Chosen) -> None:
        if chosen.split_ms is not None or chosen.strict:
            raise Misuse("--split, --strict: holdout-file is split already, by its file")
        self._chosen = chosen

    def walk(self, log: Log) -> Iterator[Entry | Case]:
        """Yield all events, then a case a line."""
        lines = self._lines(log)
        yield from log
        for line in lines:
            history = tuple(line.items[-HISTORY:])
            masked = frozenset(line.items) if self._chosen.masked else frozenset[str]()
            targets = tuple(dict.fromkeys(line.targets))
            yield Case(line.user_id, _after(log), history, targets, masked, len(history))

    def _lines(self, log: Log) -> list[Holdout]:
        """Read the file, before the log: what is wrong with it is known at once."""
        path, lines = self._chosen.holdout or find_file(log.path.parent, HOLDOUT), []
        for number, raw in read_lines(path):
            try:
                lines.append(decode_holdout(raw))
            except BadEvent as exc:
                raise Misuse(f"{path}:{number}: no session to complete: {exc}") from exc
        if not lines:
            raise Misuse(f'{path}: no session to complete: a line is {{"user_id","items":[…],"targets":[…]}}')
        return lines

    def before(self, log: Log) -> "LastSessions":
        """Complete the last sessions of the log itself."""
        return LastSessions(self._chosen.masked)


class LastSessions:
    """The users that came last are sessions to complete: nobody learns them, and their last item is predicted."""

    def __init__(self, masked: bool) -> None:
        self._masked = masked

    def walk(self, log: Log) -> Iterator[Entry | Case]:
        """Yield the events of all other users, then a case a session."""
        sizes: Counter[str] = Counter()
        for entry in log:
            if (one := signal(entry)) is not None:
                sizes[one.user_id] += 1  # in the order of their first signal
        several = [user for user, size in sizes.items() if size > 1]
        chosen = several[len(several) - int(len(several) * LAST_PART) :]
        sessions: dict[str, list[str]] = {user: [] for user in chosen}
        for entry in log:
            session = sessions.get(entry.event.user_id)
            if session is None:
                yield entry
            elif (one := signal(entry)) is not None:
                session.append(one.item_id)
        if not sessions:
            raise Misuse(f"{log.path}: --fit needs at least ten sessions of two items")
        for user, (*items, target) in sessions.items():
            history = tuple(items[-HISTORY:])
            masked = frozenset(items) if self._masked else frozenset[str]()
            yield Case(user, _after(log), history, (target,), masked, len(history))

    def before(self, log: Log) -> "LastSessions":
        """Refuse: a fit isn't fitted."""
        raise Misuse("--fit: there is nothing before the sessions that a fit completes")


def _after(log: Log) -> int:
    return log.latest_ms + 1
