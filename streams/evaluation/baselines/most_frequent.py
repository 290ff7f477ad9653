"""The user's own items, those of most baskets first; then what is popular."""

from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines.counts import ItemCounts


class MostFrequent:
    """score(j) = baskets of the user with j, ties by the latest; a history that nobody learned counts as it is."""

    name = "most_frequent"

    def __init__(self) -> None:
        self._items = ItemCounts()
        self._own: dict[str, dict[str, tuple[int, int, str | None]]] = {}
        self._signals = 0

    def learn(self, signal: Signal) -> None:
        """Count the item for its user, once a basket."""
        self._items.count(signal.item_id)
        self._signals += 1
        own = self._own.setdefault(signal.user_id, {})
        baskets, _, last = own.get(signal.item_id, (0, 0, None))
        own[signal.item_id] = (baskets + (last != signal.basket), self._signals, signal.basket)

    def rank(self, case: Case, k: int) -> list[str]:
        """Return the user's items that aren't masked, filled up by popularity."""
        known = {} if case.fresh else self._own.get(case.user_id, {})
        own = {item: (baskets, when) for item, (baskets, when, _) in known.items()}
        for place, item in enumerate(case.history[len(case.history) - case.unlearned :]):
            own[item] = (own.get(item, (0, 0))[0] + 1, self._signals + 1 + place)
        allowed = own.keys() & case.given if case.given else own.keys()
        best = sorted(allowed - case.masked, key=own.__getitem__, reverse=True)
        return self._items.filled(best, case, k)
