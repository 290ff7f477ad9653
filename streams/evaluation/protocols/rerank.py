"""Score the slates that a log recorded: each impression is ranked anew, as of when it was seen.

Targets are its items that a later signal with the same `request_id` touched; an impression without any is no case.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from streams.contracts import events as ev
from streams.errors import Misuse
from streams.evaluation.base import Case
from streams.evaluation.log import Entry, Log, signal
from streams.evaluation.protocols.base import Chosen, Histories, earlier_ms, refuse

_Touch = tuple[int, str, str]
"""A signal's line, item and kind."""


class Rerank:
    """See the module; what lies at or after `until_ms` doesn't exist."""

    def __init__(self, chosen: Chosen, until_ms: int | None = None) -> None:
        refuse(chosen, "strict", "holdout")
        if chosen.masked:
            raise Misuse("--mask-history: rerank ranks what was shown, all of it")
        self._chosen = chosen
        self._until_ms = until_ms

    def walk(self, log: Log) -> Iterator[Entry | Case]:
        """Yield each event, before an impression its case."""
        touched, none = self._touched(log), True
        histories, split_ms = Histories(masked=False), self._chosen.split_ms or 0
        for entry in log:
            if self._ends_before(entry):
                continue
            event, one = entry.event, signal(entry)
            if isinstance(event, ev.Impression) and entry.at_ms >= split_ms:
                given = tuple(dict.fromkeys(event.items))
                targets = _targets(touched.get(event.request_id, ()), entry.line, given)
                if targets:
                    none, history, kind = False, histories.of(event.user_id), next(iter(targets.values()))
                    yield Case(event.user_id, entry.at_ms, history, tuple(targets), given=given, kind=kind)
            if one is None:
                histories.follow(event)
            else:
                histories.add(one.user_id, one.item_id)
            yield entry
        if none:
            raise Misuse(f"{log.path}: nothing to score: no impression whose $.request_id a later signal has")

    def before(self, log: Log) -> "Rerank":
        """Score the last tenth of the time before the split."""
        if self._chosen.split_ms is None:
            raise Misuse("--fit: rerank scores from the first event on: give it a --split")
        split_ms = self._chosen.split_ms
        return Rerank(Chosen(split_ms=earlier_ms(log, split_ms)), split_ms)

    def _touched(self, log: Log) -> dict[str, list[_Touch]]:
        """Return the signals of each request, in order."""
        touched: defaultdict[str, list[_Touch]] = defaultdict(list)
        for entry in log:
            one, request_id = signal(entry), entry.event.request_id
            if one is not None and request_id is not None and not self._ends_before(entry):
                touched[request_id].append((entry.line, one.item_id, one.kind))
        return touched

    def _ends_before(self, entry: Entry) -> bool:
        return self._until_ms is not None and entry.at_ms >= self._until_ms


def _targets(touched: Iterable[_Touch], line: int, given: Sequence[str]) -> dict[str, str]:
    """Return the given items that were touched after a line, each with the kind of the first signal."""
    targets: dict[str, str] = {}
    for later, item, kind in touched:
        if later > line and item in given:
            targets.setdefault(item, kind)
    return targets
