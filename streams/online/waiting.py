"""Which slates of a partition wait for their outcome: in the order in which they close, and by user. Pure.

Only what is committed is in here. The ledgers themselves are in the store, the latest used of them here, too. Windows
are measured on the partition's watermark, which only grows, so slates close in the order in which they were served,
also when the windows were changed meanwhile: then the new ones count for what waits, too.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from streams.online.ledger import Ledger

NOBODY: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Windows:
    """How long after a slate, in milliseconds, a signal counts as its outcome: a click or cart, and a purchase.

    Both are 0 where nothing is to wait.
    """

    signal_ms: int
    purchase_ms: int

    @property
    def close_ms(self) -> int:
        """When a slate closes: nothing can become of it any more."""
        return max(self.signal_ms, self.purchase_ms)


class Due(NamedTuple):
    """A slate closes when the watermark is more than its window past `opened_ms`, where it was when that was served."""

    opened_ms: int
    slate_id: str
    user_id: str

    def pack(self) -> str:
        """Return what the store keeps of it, under the slate's id."""
        return f"{self.opened_ms} {self.user_id}"

    @classmethod
    def unpack(cls, slate_id: str, packed: str) -> "Due":
        """Undo `pack`."""
        opened_ms, _, user_id = packed.partition(" ")
        return cls(int(opened_ms), slate_id, user_id)


class Waiting:
    """The slates of one partition that wait."""

    def __init__(self, windows: Windows, stored: Mapping[str, str], cached: int) -> None:
        """`stored` is what the store keeps, by slate; at most `cached` ledgers are held in memory."""
        self.windows = windows
        self._due: OrderedDict[str, Due] = OrderedDict()
        self._users: dict[str, tuple[str, ...]] = {}
        self._ledgers: dict[str, Ledger] = {}
        self._cached = cached
        for due in sorted((Due.unpack(*one) for one in stored.items()), key=_order):
            self._add(due)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._due)

    def __iter__(self) -> Iterator[Due]:
        """Yield what waits, the first to close first."""
        return iter(self._due.values())

    def of(self, user_id: str) -> tuple[str, ...]:
        """Return the slates of a user, the latest last."""
        return self._users.get(user_id, NOBODY)

    def ledger(self, slate_id: str) -> Ledger | None:
        """Return a ledger, if it is held in memory."""
        return self._ledgers.get(slate_id)

    def missing(self, users: Iterable[str], watermark_ms: int, limit: int) -> list[str]:
        """Return which ledgers a batch needs and must be loaded: those of its users, and what it may close.

        It closes what is due at its last watermark, at most `limit` slates and what its users lose on the way.
        """
        wanted = dict.fromkeys(slate for user in users for slate in self.of(user))
        limit += len(wanted)
        for due in self._due.values():
            if due.opened_ms + self.windows.close_ms >= watermark_ms or not limit:
                break
            wanted[due.slate_id] = None
            limit -= 1
        return [slate for slate in wanted if slate not in self._ledgers]

    def update(self, opened: Mapping[str, Due], changed: Mapping[str, Ledger | None]) -> None:
        """Take in what a commit wrote: new slates, and what became of ledgers, None for those that are closed."""
        for slate_id, due in opened.items():
            if changed[slate_id] is not None:
                self._add(due)
        for slate_id, ledger in changed.items():
            self._ledgers.pop(slate_id, None)
            if ledger is not None:
                self._ledgers[slate_id] = ledger
            else:
                self._remove(slate_id)
        while len(self._ledgers) > self._cached:
            del self._ledgers[next(iter(self._ledgers))]

    def _add(self, due: Due) -> None:
        self._due[due.slate_id] = due
        self._users[due.user_id] = (*self.of(due.user_id), due.slate_id)

    def _remove(self, slate_id: str) -> None:
        due = self._due.pop(slate_id, None)
        if due is None:
            return
        left = tuple(one for one in self._users[due.user_id] if one != slate_id)
        if left:
            self._users[due.user_id] = left
        else:
            del self._users[due.user_id]


def _order(due: Due) -> tuple[int, int, int]:
    """Sort by when they were served; those of one moment by their record."""
    epoch, _, offset = due.slate_id.split("-")
    return due.opened_ms, int(epoch), int(offset)
