"""The same items for everybody: the most frequent of the log so far."""

from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines.counts import ItemCounts


class Popular:
    """score(j) = how often j was met; ties by id."""

    name = "popular"

    def __init__(self) -> None:
        self.items = ItemCounts()

    def learn(self, signal: Signal) -> None:
        """Count the item."""
        self.items.count(signal.item_id)

    def rank(self, case: Case, k: int) -> list[str]:
        """Return the most frequent items."""
        return self.items.filled([], case, k)
