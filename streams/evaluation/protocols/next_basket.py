"""Predict the next basket after a split in time: everything before is learned, nothing after it.

A case is a user's first order on or after the split, as of that order's time; its targets are the different items of
the order. Without a split it is where the last tenth of the log's time begins.
"""

from collections.abc import Iterator

from streams.errors import Misuse
from streams.evaluation.base import Case
from streams.evaluation.log import Entry, Log, signal
from streams.evaluation.protocols.base import LAST_PART, Chosen, Histories, earlier_ms, refuse


class NextBasket:
    """See the module; what lies at or after `until_ms` doesn't exist."""

    def __init__(self, chosen: Chosen, until_ms: int | None = None) -> None:
        refuse(chosen, "strict", "holdout")
        self._chosen = chosen
        self._until_ms = until_ms

    def walk(self, log: Log) -> Iterator[Entry | Case]:
        """Yield the events before the split, then a case a user that buys after it."""
        split_ms, until_ms = self._split_ms(log), self._until_ms
        histories = Histories(self._chosen.masked)
        baskets: dict[str, tuple[str, int, dict[str, None]]] = {}
        for entry in log:
            one = signal(entry)
            if entry.at_ms < split_ms:
                if one is None:
                    histories.follow(entry.event)
                else:
                    histories.add(one.user_id, one.item_id)
                yield entry
            elif one is not None and one.kind == "purchase" and (until_ms is None or one.at_ms < until_ms):
                basket, _, items = baskets.setdefault(one.user_id, (one.basket, one.at_ms, {}))
                if basket == one.basket:
                    items[one.item_id] = None
        if not baskets:
            raise Misuse(f"{log.path}: nothing to predict: no purchase at or after the split: choose another --split")
        for user, (_, at_ms, items) in baskets.items():
            yield Case(user, at_ms, histories.of(user), tuple(items), histories.masked(user), kind="purchase")

    def before(self, log: Log) -> "NextBasket":
        """Split what comes before the split, a tenth of its time earlier."""
        split_ms = self._split_ms(log)
        return NextBasket(Chosen(split_ms=earlier_ms(log, split_ms), masked=self._chosen.masked), split_ms)

    def _split_ms(self, log: Log) -> int:
        if self._chosen.split_ms is not None:
            return self._chosen.split_ms
        first_ms, last_ms = log.span_ms()
        return last_ms - int((last_ms - first_ms) * LAST_PART)
