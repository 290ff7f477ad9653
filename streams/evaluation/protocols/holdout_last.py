"""Leave one out: everything else is learned first, then each user's last item is predicted.

With `strict` the last item but one is known of the user, but teaches nothing, as in the papers that fit their settings
on it (Kang and McAuley, ICDM 2018; Zhou et al., CIKM 2020). A user with a single item is no case, and
neither is one whose history moved to a login.
"""

from collections import Counter
from collections.abc import Iterator

from streams.contracts import events as ev
from streams.errors import Misuse
from streams.evaluation.base import Case, Signal
from streams.evaluation.log import Entry, Log, signal
from streams.evaluation.protocols.base import Chosen, Histories, refuse


class HoldoutLast:
    """See the module; the last `dropped` items of each user don't exist."""

    def __init__(self, chosen: Chosen, dropped: int = 0) -> None:
        refuse(chosen, "holdout")
        if chosen.split_ms is not None:
            raise Misuse("--split: holdout-last splits by user, not by time")
        self._chosen = chosen
        self._dropped = dropped

    def walk(self, log: Log) -> Iterator[Entry | Case]:
        """Yield all events but the last items and what their users did afterwards; then the cases, by their items."""
        histories, cases, unlearned = Histories(self._chosen.masked), dict[str, Case](), dict[str, str]()
        for entry, one, left in self._existing(log):
            if one is None:
                histories.follow(entry.event)
                yield entry
            elif left == 0:
                cases[one.user_id] = Case(one.user_id, one.at_ms, (), (one.item_id,), kind=one.kind)
            else:
                histories.add(one.user_id, one.item_id)
                if self._chosen.strict and left == 1:
                    unlearned[one.user_id] = one.item_id
                else:
                    yield entry
        if not cases:
            raise Misuse(f"{log.path}: nothing to predict: no user has two items")
        for user, case in cases.items():
            history, masked = histories.of(user), histories.masked(user)
            # A `forget`, or a login that took other items in, leaves it elsewhere than at the end.
            fresh = int(history[-1:] == (unlearned.get(user),))
            yield Case(user, case.at_ms, history, case.targets, masked, fresh, kind=case.kind)

    def before(self, log: Log) -> "HoldoutLast":
        """Predict the last item but one, without its successor."""
        return HoldoutLast(Chosen(masked=self._chosen.masked), self._dropped + 1)

    def _existing(self, log: Log) -> Iterator[tuple[Entry, Signal | None, int | None]]:
        """Yield what isn't dropped, and how many signals the user has left then; None for one that is no case.

        What a user does after the last one is left out: an `uncart` or a search would tell the item.
        """
        left = self._counted(log)
        singles = {user for user, signals in left.items() if signals < 2}
        for entry in log:
            user, one = entry.event.user_id, signal(entry)
            if left.get(user, 1) <= 0:
                continue
            if one is None or user not in left:
                yield entry, one, None
            else:
                left[user] -= 1
                yield entry, one, None if user in singles else left[user]

    def _counted(self, log: Log) -> dict[str, int]:
        """Return how many signals of each user there are; none of one that goes on as a login, as it has no end."""
        signals, moved = Counter[str](), dict[str, int]()
        for entry in log:
            event = entry.event
            if signal(entry) is not None:
                signals[event.user_id] += 1
            elif isinstance(event, ev.Alias) and event.login != event.user_id:
                moved[event.user_id] = signals[event.user_id]
        least = 0 if self._dropped else 2
        return {user: n - self._dropped for user, n in signals.items() if n >= least and n != moved.get(user)}
