"""The counters that one event changes: what is popular, and what follows what. Pure, like the fold.

Rows and fields as the store keeps them, all integers in buckets of event time; decay happens when they are read:

    i:<item>   <day>:<signal>       how often the item got that signal that day
    b:<item>   <month>:<before>     how often, and how closely, `before` came before the item, in thousandths

Directed co-visitation: an event on j adds 1/sqrt(d) to the pair (i, j) for the item i that the user touched d
different items before, d <= WINDOW. All that one event changes lies in the rows of its item, so it is two rows.
"""

from collections import defaultdict

from streams.contracts import events as ev
from streams.features.user import DISLIKED_UNTIL, UserState

DAY_MS = 86_400_000
MONTH_DAYS = 30
"""Days a bucket of co-visitation counts spans."""
WINDOW = 10
PAIR_UNIT = 1_000
_PAIR_WEIGHTS = tuple(round(PAIR_UNIT / d**0.5) for d in range(1, WINDOW + 1))
_COUNTED = (ev.View, ev.Click, ev.Cart, ev.Purchase, ev.Rating, ev.Review)
SIGNALS = {ev.View: "v", ev.Click: "c", ev.Cart: "a", ev.Purchase: "p", ev.Rating: "r", ev.Review: "r"}
ITEM_ROW, BEFORE_ROW = "i:", "b:"
Counts = defaultdict[str, dict[str, int]]
"""Row to field to increment; made by `new_counts`."""


def new_counts() -> Counts:
    """Return no counts at all."""
    return defaultdict(dict)


def count(counts: Counts, before: UserState, event: ev.UserEvent, at_ms: int) -> None:
    """Add to `counts` what an event changes that met the state `before` (and was no repeat)."""
    if not isinstance(event, _COUNTED) or (isinstance(event, ev.Rating) and event.value <= DISLIKED_UNTIL):
        return
    item_id, day = event.item_id, at_ms // DAY_MS
    signals, field = counts[ITEM_ROW + item_id], f"{day}:{SIGNALS[type(event)]}"
    signals[field] = signals.get(field, 0) + 1
    if not before.items or next(reversed(before.items)) == item_id:
        return
    row, month = counts[BEFORE_ROW + item_id], day // MONTH_DAYS
    for weight, other in zip(_PAIR_WEIGHTS, reversed(before.items), strict=False):
        if other == item_id:
            break  # what came before it was counted when the user first came to this item
        field = f"{month}:{other}"
        row[field] = row.get(field, 0) + weight
