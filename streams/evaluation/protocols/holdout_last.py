"""Leave one out: everything else is learned first, then each user's last item is predicted.

With `strict` the last item but one is known of the user, but teaches nothing, as in the papers that fit their settings
on it (Kang and McAuley, ICDM 2018; Zhou et al., CIKM 2020). A user with a single item is no case.
"""

from collections import Counter
from collections.abc import Iterator

from streams.errors import Misuse
from streams.evaluation.base import Case
from streams.evaluation.log import Entry, Log, signal
from streams.evaluation.protocols.base import Chosen, Histories


class HoldoutLast:
    """See the module; the last `dropped` items of each user don't exist."""

    def __init__(self, chosen: Chosen, dropped: int = 0) -> None:
        if chosen.split_ms is not None:
            raise Misuse("--split: holdout-last splits by user, not by time")
        self._chosen = chosen
        self._dropped = dropped

    def walk(self, log: Log) -> Iterator[Entry | Case]:
        """Yield all events but the last items, then the cases in the order of their items."""
        totals = Counter(one.user_id for entry in log if (one := signal(entry)) is not None)
        histories, met, cases = Histories(self._chosen.masked), Counter[str](), dict[str, Case]()
        unlearned: set[str] = set()
        for entry in log:
            one = signal(entry)
            if one is None:
                histories.follow(entry.event)
                yield entry
                continue
            user = one.user_id
            met[user] += 1
            left = totals[user] - met[user] - self._dropped
            single = totals[user] - self._dropped < 2
            if left < 0:
                continue
            if left == 0 and not single:
                cases[user] = Case(user, one.at_ms, (), (one.item_id,), kind=one.kind)
                continue
            histories.add(user, one.item_id)
            if self._chosen.strict and left == 1:
                unlearned.add(user)
            else:
                yield entry
        if not cases:
            raise Misuse(f"{log.path}: nothing to predict: no user has two items")
        for user, case in cases.items():
            history = histories.of(user)
            yield Case(
                user, case.at_ms, history, case.targets, histories.masked(user), int(user in unlearned), kind=case.kind
            )

    def before(self, log: Log) -> "HoldoutLast":
        """Predict the last item but one, without its successor."""
        return HoldoutLast(Chosen(masked=self._chosen.masked), self._dropped + 1)
