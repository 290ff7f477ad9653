"""Cold start: a share of the items teaches nothing, and only they are asked for.

What users did with a hidden item is left out of what is learned, of histories and of training, as if the shop had
published the item just now: there is its text, and no behaviour. Which are hidden is drawn by the items' digests and a
seed, so it is the same in training and in evaluation.
"""

from collections.abc import Iterator
from dataclasses import replace

from streams.errors import Misuse
from streams.evaluation.base import Case
from streams.evaluation.log import Entry, Log
from streams.evaluation.protocols.base import Protocol
from streams.features.item import digest_of


class Hidden:
    """Another protocol without a share of the items, which are then what it asks for."""

    def __init__(self, protocol: Protocol, share: float, seed: int) -> None:
        self._protocol = protocol
        self._share = share
        self._seed = seed

    def hides(self, item_id: str) -> bool:
        """Tell whether an item is hidden."""
        return digest_of(f"{self._seed} {item_id}") < self._share * 2.0**64

    def walk(self, log: Log) -> Iterator[Entry | Case]:
        """Yield the other's walk without what hidden items would teach; of the cases those that ask for one.

        Raises:
            Misuse: no case asks for a hidden item.
        """
        asked = 0
        for step in self._protocol.walk(log):
            if isinstance(step, Case):
                targets = tuple(item for item in step.targets if self.hides(item))
                if targets:
                    asked += 1
                    yield self._without(step, targets)
            elif (item_id := getattr(step.event, "item_id", None)) is None or not self.hides(item_id):
                yield step
        if not asked:
            raise Misuse(f"{log.path}: nothing to predict: no case asks for a hidden item: raise --hide")

    def before(self, log: Log) -> "Hidden":
        """Return the same of the other's earlier part."""
        return Hidden(self._protocol.before(log), self._share, self._seed)

    def _without(self, case: Case, targets: tuple[str, ...]) -> Case:
        """Return a case whose history knows no hidden item."""
        known = [item for item in case.history if not self.hides(item)]
        late = case.history[len(case.history) - case.unlearned :]
        unlearned = sum(not self.hides(item) for item in late)
        return replace(case, history=tuple(known), targets=targets, unlearned=unlearned)
