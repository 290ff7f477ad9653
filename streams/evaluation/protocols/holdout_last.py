"""Leave one out: everything else is learned first, then each user's last item is predicted.

With `strict` the last item but one is known of the user, but teaches nothing, as in the papers that fit their settings
on it (Kang and McAuley, ICDM 2018; Zhou et al., CIKM 2020). A user with a single item is no case.
"""

from collections import Counter
from collections.abc import Iterator

from streams.errors import Misuse
from streams.evaluation.base import Case
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
        left = Counter(one.user_id for entry in log if (one := signal(entry)) is not None)
        left.subtract(dict.fromkeys(left, self._dropped))
        singles = {user for user, signals in left.items() if signals < 2}
        histories, cases, unlearned = Histories(self._chosen.masked), dict[str, Case](), dict[str, str]()
        for entry in log:
            user, one = entry.event.user_id, signal(entry)
            if user in cases:
                continue  # an `uncart` or a search afterwards would tell the item
            if one is None:
                histories.follow(entry.event)
                yield entry
                continue
            if left[user] <= 0:
                continue
            left[user] -= 1
            if not left[user] and user not in singles:
                cases[user] = Case(user, one.at_ms, (), (one.item_id,), kind=one.kind)
                continue
            histories.add(user, one.item_id)
            if self._chosen.strict and left[user] == 1:
                unlearned[user] = one.item_id
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
