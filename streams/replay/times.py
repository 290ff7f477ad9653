"""Where the times of a log go when it is replayed at another time, or more than once.

Time of the log goes on from round to round: t + n * period in round n = 0, 1, ... Its image is
`target + (t + n * period - origin) / scale`: the identity for original times. Only times and the ids of single
occurrences are changed, as bytes; whatever else a line holds stays as it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from streams.contracts import topics
from streams.contracts.wire import MAX_AT_MS, decode
from streams.errors import BadEvent
from streams.replay.lines import HEADS, Head, Selection

ROUND_IDS = ("event_id", "request_id", "order_id", "session_id")
"""What names one occurrence: repeated as it is, an event, request, basket or session would be taken for the old one."""
_MIN_PERIOD_MS = 1_000
_TIME_DIGITS = len(str(MAX_AT_MS))
_FIELDS: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Span:
    """How many wanted events a log has, how many of them with a time, and from when to when these are (ms)."""

    events: int = 0
    timed: int = 0
    earliest_ms: int = 0
    latest_ms: int = 0

    @property
    def period_ms(self) -> int:
        """After how long the next round begins: the span and a mean gap between events, which keeps their rate."""
        length_ms = self.latest_ms - self.earliest_ms
        return max(length_ms + length_ms // max(self.timed - 1, 1), _MIN_PERIOD_MS)


def span_of(lines: Iterable[tuple[int, bytes]], selection: Selection) -> Span:
    """Return the span of the wanted events; lines that are no events don't count."""
    decoder, events, timed = HEADS[topics.EVENTS], 0, 0
    earliest_ms, latest_ms = 0, 0
    for _, line in lines:
        try:
            head: Head = decode(decoder, line)
        except BadEvent:
            continue
        if not selection.takes(head):
            continue
        events += 1
        if head.at_ms is not None:
            earliest_ms = min(earliest_ms, head.at_ms) if timed else head.at_ms
            latest_ms = max(latest_ms, head.at_ms)
            timed += 1
    return Span(events, timed, earliest_ms, latest_ms)


class Timeline:
    """The image of the log's time; without arguments the identity, for one round."""

    def __init__(self, period_ms: int = 0, scale: float = 1.0, anchor_ms: tuple[int, int] | None = (0, 0)) -> None:
        """`anchor_ms` is a time of the log and its image; None: `begin` will say."""
        self._period_ms = period_ms
        self._scale = scale
        self._anchor_ms = anchor_ms
        self._moves = anchor_ms != (0, 0)

    def begin(self, log_ms: int, now_ms: int) -> None:
        """Say when the first event is published; counts if times are moved and it wasn't known before."""
        if self._anchor_ms is None:
            self._anchor_ms = (log_ms, now_ms)

    def log_ms(self, at_ms: int, round_: int) -> int:
        """Return the time of the log that goes on from round to round."""
        return at_ms + round_ * self._period_ms

    def moved_ms(self, at_ms: int, round_: int) -> int:
        """Return the image of a time of the log."""
        origin_ms, target_ms = self._anchor_ms or (at_ms, at_ms)
        return target_ms + round((self.log_ms(at_ms, round_) - origin_ms) / self._scale)

    def line(self, line: bytes, head: Head, round_: int) -> bytes:
        """Return the line with its image's times and, in later rounds, with ids of their own.

        Raises:
            BadEvent: its bytes can't be read.
        """
        if not self._moves and not round_:
            return line
        fields = decode(_FIELDS, line)
        if head.at_ms is not None:
            fields["at_ms"] = _raw(self.moved_ms(head.at_ms, round_))
        if head.type == "request":
            self._move_deadline(fields, head.at_ms, round_)
        if round_:
            _rename(fields, round_)
        return _encode(fields)

    def _move_deadline(self, fields: dict[str, msgspec.Raw], at_ms: int | None, round_: int) -> None:
        """How long an answer is waited for is no matter of tempo: the deadline stays as far from its event."""
        given = bytes(fields.get("deadline_ms", b""))
        if not given.isdigit() or len(given) > _TIME_DIGITS:
            return
        from_ms = int(given) if at_ms is None else at_ms
        fields["deadline_ms"] = _raw(self.moved_ms(from_ms, round_) + int(given) - from_ms)


def _raw(value: int) -> msgspec.Raw:
    return msgspec.Raw(str(value).encode())


def _rename(fields: dict[str, msgspec.Raw], round_: int) -> None:
    for name in ROUND_IDS:
        given = bytes(fields.get(name, b""))
        if given.endswith(b'"'):
            fields[name] = msgspec.Raw(b'%s~%d"' % (given[:-1], round_ + 1))
