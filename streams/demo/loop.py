"""What became of the slates: how many records the join made of them, and what it found no slate for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Loop:
    """`records` are those in `feedback`, by the broker's offsets, `written` those that the join counts, in Redis.

    `unjoined` are clicks and impressions that came when the slate's window was over: the demo squeezes half a day
    into a second, so that a window of 30 minutes is over in 40 ms.
    """

    records: int
    written: int
    unjoined: int

    @classmethod
    def of(cls, records: int, stats: Mapping[str, int]) -> "Loop":
        """Return the present counts, from the store's."""
        unjoined = stats.get("feedback_late", 0) + stats.get("feedback_orphaned", 0)
        return cls(records, stats.get("feedback_written", 0), unjoined)

    @property
    def settled(self) -> bool:
        """Tell whether all that the join wrote is there."""
        return self.records == self.written

    def told(self) -> dict[str, Any]:
        """Return what the report says of it."""
        return {"feedback_records": self.records, "unjoined": self.unjoined}
