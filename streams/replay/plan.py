"""What is asked of a replay: which events, at which tempo, dated when, how often; and whether that fits together."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from streams.contracts.wire import MAX_ID_LENGTH, MIN_AT_MS
from streams.errors import Misuse
from streams.replay.lines import Selection
from streams.replay.times import Span, Timeline

_1970 = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a replay; without any, a log goes out once, as it is, as fast as Kafka takes it."""

    selection: Selection = field(default_factory=Selection)
    speed: float | None = None
    """Multiple of the log's own tempo by `at_ms`, None as fast as Kafka takes it."""
    to_now: bool = False
    """Date events as if they happened while they are published."""
    rounds: int | None = 1
    """How often the log is published, None forever."""
    from_line: int = 1
    verify: bool = False
    """Give messages a header by which they are found again."""

    def check(self) -> None:
        """Find out whether the options fit together.

        Raises:
            Misuse: naming those that don't.
        """
        chosen = self.selection
        if chosen.since_ms is not None and chosen.until_ms is not None and chosen.since_ms >= chosen.until_ms:
            raise Misuse("--since is not before --until: no event can lie between them")
        if not all(1 <= len(user) <= MAX_ID_LENGTH for user in chosen.users):
            raise Misuse(f"--user: a user id has 1 to {MAX_ID_LENGTH} characters")
        if self.rounds != 1:
            self._check_loop()

    def _check_loop(self) -> None:
        if self.from_line != 1:
            raise Misuse("--from resumes a log and --loop begins it again: give one of them")
        if self.rounds is None and self.verify:
            raise Misuse("--loop forever never ends, so there is nothing to --verify")
        if self.rounds is None and (self.speed is None or not self.to_now):
            raise Misuse("--loop forever needs --times now and a number as --speed, or its times outrun the clock")

    def check_for_items(self) -> None:
        """Find out whether a catalogue can be published so.

        Raises:
            Misuse: an option is about events.
        """
        if self.selection != Selection() or self.to_now or self.rounds != 1:
            raise Misuse("--items: a catalogue has no events to choose, date or repeat: leave those options out")

    @property
    def needs_span(self) -> bool:
        """Whether the span of the log must be known before it is published."""
        return self.rounds != 1 or (self.to_now and self.speed is None)

    def timeline(self, span: Span, now_ms: int, max_future_ms: int) -> Timeline:
        """Return where the times of the log go; `span` counts only if it is needed.

        To now at a tempo, the first event is dated when it is published, and the others as much later as they are
        published. At full speed there is none: all lies in the past, the latest event of the last round is dated now.

        Raises:
            Misuse: no event is wanted, or so many rounds end in the future or begin before all times.
        """
        if not self.needs_span:
            return Timeline(scale=self.speed or 1.0, anchor_ms=None) if self.to_now else Timeline()
        if not span.events:
            raise Misuse("none of its lines is an event that was asked for")
        if self.to_now and self.speed is not None:
            return Timeline(span.period_ms, self.speed, None)
        end_ms = span.latest_ms + ((self.rounds or 1) - 1) * span.period_ms
        if not self.to_now:
            if end_ms > now_ms + max_future_ms:
                raise Misuse(f"--loop {self.rounds}: the last round would end {_said(end_ms)}: use --times now")
            return Timeline(span.period_ms)
        timeline = Timeline(span.period_ms, anchor_ms=(end_ms, now_ms))
        first_ms = timeline.moved_ms(span.earliest_ms, 0)
        if first_ms < MIN_AT_MS:
            raise Misuse(f"--loop {self.rounds}: the first round would begin {_said(first_ms)}: give --speed a number")
        return timeline


def _said(at_ms: int) -> str:
    try:
        return f"on {_1970 + timedelta(milliseconds=at_ms):%Y-%m-%d}"
    except OverflowError:
        return "thousands of years away"
