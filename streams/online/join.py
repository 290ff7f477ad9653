"""The join: one batch of a partition, record by record, over the slates that wait for their outcome. Pure.

Each record first moves the watermark, which closes what is due: one `Feedback` a slate. Then an impression marks what
was seen; a click, cart or purchase marks the slate that it names by `request_id`, or else the last one before it that
showed the item; and a slate that the record caused is opened. Nothing depends on where batches are cut. A record closes
few slates, so that no batch publishes without bound; what is due and not closed yet takes no more outcomes.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import NamedTuple

from msgspec.structs import replace

from inference.tensors import HEADS
from streams.contracts import events as ev
from streams.contracts.slates import Feedback
from streams.online.ledger import Ledger, feedback_of, pack_ledger
from streams.online.waiting import Due, Waiting

MAX_OPEN = 8
"""Slates of one user that wait at a time; the oldest closes early for another."""
MAX_MISSED = 50
"""Items a ledger remembers that the user went for and the slate didn't hold."""
CLOSED_BY_RECORD, CLOSED_BY_TICK = 2, 100
"""How many due slates one record closes. No record opens more than one, so whatever is due is caught up with."""
_DEPTHS: dict[type, int] = {
    ev.Click: HEADS.index("click") + 1,
    ev.Cart: HEADS.index("cart") + 1,
    ev.Purchase: HEADS.index("purchase") + 1,
}


class Step(NamedTuple):
    """One record as the join sees it: the watermark after it, and its event if it changed the user's state."""

    offset: int
    watermark_ms: int
    event: ev.UserEvent | None
    at_ms: int
    closes: int = CLOSED_BY_RECORD


class Join:
    """What a batch does to the slates of its partition; takes effect with the commit alone."""

    def __init__(self, waiting: Waiting, loaded: Mapping[str, Ledger], place: str) -> None:
        """`loaded` are the ledgers that `waiting` didn't hold; `place` is epoch-partition."""
        self.opened: dict[str, Due] = {}
        """New slates, those that closed again in this batch among them."""
        self.changed: dict[str, Ledger | None] = {}
        """New and marked ledgers; None for what is closed or erased."""
        self.closed: list[tuple[int, Feedback]] = []
        """Records to publish, with the offset of the record that closed each."""
        self.stats: Counter[str] = Counter()
        self._waiting = waiting
        self._windows = waiting.windows
        self._loaded = loaded
        self._place = place
        self._users: dict[str, list[str]] = {}
        self._stored = iter(waiting)
        self._fresh: deque[Due] = deque()
        self._head: Due | None = None
        self._due_ms: float = 0
        """No slate closes before the watermark is past this: most records have no more to do with it."""
        self._sequence = 0

    def step(self, step: Step, served: Ledger | None) -> None:
        """Take in the next record; `served` is the slate that it caused."""
        self._sequence = 0
        event = step.event
        if isinstance(event, ev.Forget):  # first, or what is due of this user would be published after the receipt
            self._erase(event.user_id)
        if step.watermark_ms > self._due_ms:
            self._close_due(step)
        if event is not None and (event.request_id is not None or self._of(event.user_id)):
            self._take(step, event)
        if served is not None:
            self._open(step, served)

    def writes(self) -> tuple[dict[str, bytes | None], dict[str, str]]:
        """Return the ledgers to commit, packed, None for those to erase, and what is to be said of the new ones."""
        ledgers = {slate: None if one is None else pack_ledger(one) for slate, one in self.changed.items()}
        return ledgers, {slate: due.pack() for slate, due in self.opened.items() if self.changed[slate] is not None}

    def apply(self) -> None:
        """Take in what was committed."""
        self._waiting.update(self.opened, {**self._loaded, **self.changed})

    def _close_due(self, step: Step) -> None:
        due = self._next()
        for _ in range(step.closes):
            if due is None or self._close_ms(due) >= step.watermark_ms:
                break
            self._close(step, due.slate_id, due.user_id)
            due = self._next()
        self._due_ms = inf if due is None else self._close_ms(due)

    def _close_ms(self, due: Due) -> int:
        return due.opened_ms + self._windows.close_ms

    def _next(self) -> Due | None:
        """Return the slate that closes next, of those that are still open."""
        while self._head is None or self.changed.get(self._head.slate_id, True) is None:
            self._head = next(self._stored, None) or (self._fresh.popleft() if self._fresh else None)
            if self._head is None:
                return None
        return self._head

    def _take(self, step: Step, event: ev.UserEvent) -> None:
        if isinstance(event, ev.Click | ev.Cart | ev.Purchase):
            self._signal(step, event)
        elif isinstance(event, ev.Impression):
            self._impression(step, event)
        elif isinstance(event, ev.Alias) and event.login != event.user_id:
            self._close_early(step, event.user_id, 0)

    def _erase(self, user_id: str) -> None:
        for slate_id in self._of(user_id):
            self.stats["feedback_erased"] += 1
            self.changed[slate_id] = None
        self._users[user_id] = []

    def _signal(self, step: Step, event: ev.Click | ev.Cart | ev.Purchase) -> None:
        window_ms = self._windows.purchase_ms if isinstance(event, ev.Purchase) else self._windows.signal_ms
        from_ms = step.watermark_ms - window_ms
        if event.request_id is not None:
            ledger = self._named(event.user_id, event.request_id, from_ms)
        else:
            earlier = [one for one in self._ledgers(event.user_id) if one.at_ms <= step.at_ms]
            in_time = [one for one in earlier if one.opened_ms >= from_ms]
            ledger = next((one for one in in_time if event.item_id in one.items), in_time[0] if in_time else None)
        if ledger is None:
            return
        if event.item_id in ledger.items:
            self._mark(ledger, ledger.items.index(event.item_id), _DEPTHS[type(event)], step.at_ms)
        elif event.item_id not in ledger.missed and len(ledger.missed) < MAX_MISSED:
            self.changed[ledger.slate_id] = replace(ledger, missed=(*ledger.missed, event.item_id))

    def _mark(self, ledger: Ledger, place: int, depth: int, at_ms: int) -> None:
        known, _ = ledger.outcomes.get(place, (0, 0))
        if depth <= known:
            self.stats["feedback_repeated"] += 1
            return
        outcome = (depth, max(at_ms, ledger.at_ms))
        self.changed[ledger.slate_id] = replace(ledger, outcomes=ledger.outcomes | {place: outcome})

    def _impression(self, step: Step, event: ev.Impression) -> None:
        ledger = self._named(event.user_id, event.request_id, step.watermark_ms - self._windows.close_ms)
        if ledger is None:
            return
        seen = set(event.items)
        before = ledger.seen or bytes(len(ledger.items))
        after = bytes(was or item in seen for was, item in zip(before, ledger.items, strict=True))
        if after == ledger.seen:
            self.stats["feedback_repeated"] += 1
        else:
            self.changed[ledger.slate_id] = replace(ledger, seen=after)

    def _named(self, user_id: str, request_id: str, from_ms: int) -> Ledger | None:
        """Return the slate that an event names, if it was opened since `from_ms`; count what is not to be had."""
        named = next((one for one in self._ledgers(user_id) if one.answers(request_id)), None)
        if named is None:
            self.stats["feedback_orphaned"] += 1
        elif named.opened_ms < from_ms:
            self.stats["feedback_late"] += 1
            named = None
        return named

    def _open(self, step: Step, ledger: Ledger) -> None:
        self._close_early(step, ledger.user_id, MAX_OPEN - 1)
        due = Due(step.watermark_ms, ledger.slate_id, ledger.user_id)
        self._users[ledger.user_id] = [*self._of(ledger.user_id), ledger.slate_id]
        self.opened[ledger.slate_id] = due
        self.changed[ledger.slate_id] = ledger
        self._fresh.append(due)
        self._due_ms = min(self._due_ms, self._close_ms(due))

    def _close_early(self, step: Step, user_id: str, keep: int) -> None:
        """Close all slates of a user but the latest `keep`."""
        slates = self._of(user_id)
        for slate_id in slates[: max(0, len(slates) - keep)]:
            self.stats["feedback_early"] += 1
            self._close(step, slate_id, user_id)

    def _close(self, step: Step, slate_id: str, user_id: str) -> None:
        ledger = self._ledger(slate_id)
        self.changed[slate_id] = None
        self._users[user_id] = [one for one in self._of(user_id) if one != slate_id]
        if ledger is None:  # Redis let it expire: nobody came for so long
            self.stats["feedback_lost"] += 1
            return
        feedback_id = f"{self._place}-{step.offset}-{self._sequence}"
        self._sequence += 1
        self.stats["feedback_written"] += 1
        self.closed.append((step.offset, feedback_of(ledger, feedback_id, step.watermark_ms)))

    def _of(self, user_id: str) -> Sequence[str]:
        """Return the slates of a user that are open, the latest last."""
        slates = self._users.get(user_id)
        return self._waiting.of(user_id) if slates is None else slates

    def _ledgers(self, user_id: str) -> Iterator[Ledger]:
        """Yield the open ledgers of a user, the latest first."""
        for slate_id in reversed(self._of(user_id)):
            ledger = self._ledger(slate_id)
            if ledger is not None:
                yield ledger

    def _ledger(self, slate_id: str) -> Ledger | None:
        if slate_id in self.changed:
            return self.changed[slate_id]
        return self._loaded.get(slate_id) or self._waiting.ledger(slate_id)
