"""What became of the slates: the records that the join made of them, and what the learner made of those."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct


class Learned(Struct, frozen=True):
    """What the demo tells of what the learner saved: records by outcome, and prequential losses of late (nats)."""

    version: int = 0
    counts: dict[str, int] = {}
    losses: dict[str, float] = {}

    @property
    def read(self) -> int:
        """Records it is done with."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Loop:
    """`records` are those in `feedback`, by the broker's offsets, `written` those that the join counts, in Redis.

    `unjoined` are clicks and impressions that came when the slate's window was over, as on a machine that is too slow.
    """

    records: int
    written: int
    unjoined: int
    learned: Learned

    @classmethod
    def of(cls, records: int, stats: Mapping[str, int], learned: Learned) -> "Loop":
        """Return the present counts; `stats` are the store's."""
        unjoined = stats.get("feedback_late", 0) + stats.get("feedback_orphaned", 0)
        return cls(records, stats.get("feedback_written", 0), unjoined, learned)

    @property
    def settled(self) -> bool:
        """Tell whether all that the join wrote is there, and the learner has read it."""
        return self.records == self.written == self.learned.read

    def told(self) -> dict[str, Any]:
        """Return what the report says of it."""
        counts = self.learned.counts
        return {
            "feedback_records": self.records,
            "unjoined": self.unjoined,
            "learner_records": counts.get("learned", 0),
            "unseen_records": counts.get("unseen", 0),
            "learner_version": self.learned.version,
            "log_loss": {name: round(loss, 4) for name, loss in self.learned.losses.items()},
        }
