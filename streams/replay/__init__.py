"""Publishes a log to Kafka: its events to `events`, keyed by `user_id`, or a catalogue to `items`, keyed by `item_id`.

A line goes `lines` (what must be known of it, and is it wanted) -> `times` (moved and repeated, or left as it is) ->
`publish` (tempo, order, acknowledgements); `verify` reads back what arrived. The guarantees are in `docs/replay.md`.
"""

from streams.replay.lines import Selection
from streams.replay.plan import Plan
from streams.replay.publish import Counts, DeliveryFailed, Replay
from streams.replay.times import Span, Timeline, span_of
from streams.replay.verify import NotVerified

__all__ = ["Counts", "DeliveryFailed", "NotVerified", "Plan", "Replay", "Selection", "Span", "Timeline", "span_of"]
