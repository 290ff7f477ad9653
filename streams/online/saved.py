"""What the learner goes on from: all that it knows at a version, stored in one step with the snapshot that it made.

So a learner that is killed anywhere goes on from what was published last, at the offsets that belong to it: every
record is learned exactly once. Bounded like the snapshot, to about 750 kB.
"""

from msgspec import Struct

from streams.contracts.models import DriftDetected
from streams.online.drift import KeptSignals
from streams.online.model import Numbers
from streams.online.terms import CONTRACT


class Place(Struct, frozen=True):
    """How far a partition of `feedback` was learned: the next offset, and the last `feedback_id` as numbers."""

    next: int
    last: tuple[int, ...] = ()


class Saved(Struct, frozen=True, kw_only=True):
    """See the module; `places` by partition are of the topic with this id.

    `found` are the drifts that were detected and may not have been told yet.
    """

    contract: str = CONTRACT
    version: int
    at_ms: int
    topic_id: str
    places: dict[int, Place]
    counts: dict[str, int]
    losses: dict[str, float]
    numbers: Numbers
    signals: KeptSignals
    found: list[DriftDetected]
