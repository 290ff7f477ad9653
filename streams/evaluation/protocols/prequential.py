"""Every signal is predicted, then learned (Dawid, 1984; Gama, Sebastiao and Rodrigues, 2013).

With a split only what comes at or after it is predicted. With masked histories an item that the user had before is no
case, as it could not be recommended.
"""

from collections.abc import Iterator

from streams.errors import Misuse
from streams.evaluation.base import Case
from streams.evaluation.log import Entry, Log, signal
from streams.evaluation.protocols.base import Chosen, Histories, earlier_ms, refuse


class Prequential:
    """See the module; what lies at or after `until_ms` doesn't exist."""

    def __init__(self, chosen: Chosen, until_ms: int | None = None) -> None:
        refuse(chosen, "strict", "holdout")
        self._chosen = chosen
        self._until_ms = until_ms

    def walk(self, log: Log) -> Iterator[Entry | Case]:
        """Yield each event, before it its case."""
        histories, split_ms, none = Histories(self._chosen.masked), self._chosen.split_ms or 0, True
        for entry in log:
            if self._until_ms is not None and entry.at_ms >= self._until_ms:
                continue
            one = signal(entry)
            if one is None:
                histories.follow(entry.event)
            else:
                user = one.user_id
                if one.at_ms >= split_ms and one.item_id not in (masked := histories.masked(user)):
                    none = False
                    yield Case(user, one.at_ms, histories.of(user), (one.item_id,), masked, kind=one.kind)
                histories.add(user, one.item_id)
            yield entry
        if none:
            raise Misuse(f"{log.path}: nothing to predict: no signal at or after the split: choose another --split")

    def before(self, log: Log) -> "Prequential":
        """Predict the last tenth of the time before the split."""
        if self._chosen.split_ms is None:
            raise Misuse("--fit: prequential predicts from the first event on: give it a --split")
        split_ms = self._chosen.split_ms
        return Prequential(Chosen(split_ms=earlier_ms(log, split_ms), masked=self._chosen.masked), split_ms)
