"""What a protocol is: a walk through a log that says what is learned and what is predicted, in that order.

Adding one: a file, and a line in `protocols/__init__.py`.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol as Interface

from streams.contracts import events as ev
from streams.errors import Misuse
from streams.evaluation.base import Case
from streams.evaluation.log import Entry, Log

HISTORY = 64
"""Latest items of a user in a case; no policy looks further back."""
LAST_PART = 0.1
"""The share of a log, or of what comes before a split, that is predicted where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """How a protocol is run. A protocol refuses what it can't follow.

    `split_ms` is the time of a split. `masked` keeps a user's own items from being recommended, `strict` keeps the last
    item but one from teaching, `holdout` is the file of sessions to complete. A share of the items, `hide`, teaches
    nothing and is what is asked for; `seed` draws it.
    """

    split_ms: int | None = None
    masked: bool = False
    strict: bool = False
    holdout: Path | None = None
    hide: float = 0.0
    seed: int = 1


_ONLY = {
    "strict": "--strict: only holdout-last has a last item but one",
    "holdout": "--holdout: only holdout-file reads a file of sessions",
}


def refuse(chosen: Chosen, *names: str) -> None:
    """Refuse choices that a protocol can't follow, by the names of their fields, `strict` or `holdout`.

    Raises:
        Misuse: one of them is set.
    """
    for name in names:
        if getattr(chosen, name):
            raise Misuse(_ONLY[name])


def earlier_ms(log: Log, split_ms: int) -> int:
    """Return where the last part of what comes before a split begins."""
    first_ms, _ = log.span_ms()
    return split_ms - max(1, int((split_ms - first_ms) * LAST_PART))


class Protocol(Interface):
    """A way to make cases of a log."""

    def walk(self, log: Log) -> Iterator[Entry | Case]:
        """Yield each event that is to be learned, and each case when all that comes before it was yielded.

        Raises:
            Misuse: the log holds nothing to predict in this way.
        """
        ...

    def before(self, log: Log) -> "Protocol":
        """Return the same protocol on what comes before its first case: for fitting, where nothing may be known.

        Raises:
            Misuse: there is no such part.
        """
        ...


class Histories:
    """The latest items of each user, and all of them if they are to be masked."""

    def __init__(self, masked: bool) -> None:
        self._latest: defaultdict[str, deque[str]] = defaultdict(partial(deque[str], maxlen=HISTORY))
        # Beside the items, not with them: a history is asked for far more often than it moves.
        self._numbers: defaultdict[str, deque[int]] = defaultdict(partial(deque[int], maxlen=HISTORY))
        self._signals = 0
        self._all: defaultdict[str, set[str]] | None = defaultdict(set) if masked else None

    def add(self, user_id: str, item_id: str) -> None:
        """Note that the user came to the item."""
        self._signals += 1
        self._latest[user_id].append(item_id)
        self._numbers[user_id].append(self._signals)
        if self._all is not None:
            self._all[user_id].add(item_id)

    def follow(self, event: ev.UserEvent) -> None:
        """Note what an event that is no signal does to histories: a `forget` ends one, an `alias` moves it."""
        user, login = event.user_id, event.login if isinstance(event, ev.Alias) else None
        if user == login or not isinstance(event, ev.Forget | ev.Alias):
            return
        latest, items = self._taken(user), set() if self._all is None else self._all.pop(user, set())
        if login is not None and latest:
            for number, item in sorted(latest + self._taken(login)):
                self._numbers[login].append(number)
                self._latest[login].append(item)
            if self._all is not None:
                self._all[login] |= items

    def of(self, user_id: str) -> tuple[str, ...]:
        """Return the latest items, oldest first."""
        return tuple(self._latest.get(user_id, ()))

    def masked(self, user_id: str) -> frozenset[str]:
        """Return what must not be recommended."""
        return frozenset() if self._all is None else frozenset(self._all.get(user_id, ()))

    def _taken(self, user_id: str) -> list[tuple[int, str]]:
        """Take the latest items of a user away; return the number of each signal, and its item."""
        return list(zip(self._numbers.pop(user_id, ()), self._latest.pop(user_id, ()), strict=True))
