"""The trial of one canary: what feedback said so far, and up to where it was read. Pure.

Everything is in one document, so that who goes on with it counts no record twice, and none is left out. Two that
follow the same trial write documents of the same log, of which either is right.
"""

from collections.abc import Mapping

import msgspec
import numpy as np
from msgspec import Struct

from streams.contracts.slates import Feedback
from streams.rollout.canary import is_served
from streams.rollout.comparison import BUCKETS, CANARY, CHAMPION, METRICS, Rules, Tally, Verdict

_OUTCOMES = ("cart", "click", "purchase")


class Arms(Struct, frozen=True, array_like=True):
    """Who is compared: a canary on a share of the users, since a revision of the lineup, with a champion."""

    model: str
    champion: int
    canary: int
    share: float
    since: int


class _Kept(Struct, array_like=True):
    """A trial as it is kept."""

    arms: Arms
    offsets: dict[int, int]
    last: dict[int, tuple[int, ...]]
    counts: bytes


_decode = msgspec.msgpack.Decoder(_Kept).decode


class Trial:
    """Compares `arms`; `offsets` is what to read next of each partition of `feedback`."""

    def __init__(self, arms: Arms, offsets: Mapping[int, int]) -> None:
        self.arms = arms
        self.offsets = dict(offsets)
        self.tally = Tally()
        self._last: dict[int, tuple[int, ...]] = {}

    def take(self, partition: int, offset: int, record: Feedback | None) -> None:
        """Count the next record of a partition; None for a receipt, or what is no feedback.

        A slate counts for the arm of its user, unless another version ranked it: it was served before the trial.
        """
        self.offsets[partition] = offset + 1
        if record is None:
            return
        try:
            number = tuple(map(int, record.feedback_id.split("-")))
        except ValueError:  # none of ours
            return
        if number <= self._last.get(partition, ()):
            return
        self._last[partition] = number
        arm = CANARY if is_served(record.user_id, self.arms.canary, self.arms.share) else CHAMPION
        version = self.arms.canary if arm == CANARY else self.arms.champion
        if record.model not in (None, f"{self.arms.model}/{version}"):
            return
        outcomes = {shown.outcome for shown in record.items}
        clicked = not outcomes.isdisjoint(_OUTCOMES)
        self.tally.add(record.user_id, arm, clicked=clicked, bought="purchase" in outcomes)

    def verdict(self, rules: Rules) -> Verdict:
        """Return what is known now."""
        return self.tally.verdict(rules)

    def pack(self) -> bytes:
        """Return the whole trial."""
        counts = self.tally.counts.tobytes()
        return msgspec.msgpack.encode(_Kept(self.arms, self.offsets, self._last, counts))

    @classmethod
    def unpack(cls, packed: bytes) -> "Trial":
        """Undo `pack`."""
        kept = _decode(packed)
        trial = cls(kept.arms, kept.offsets)
        trial._last = kept.last
        counts = np.frombuffer(kept.counts, np.int64).reshape(2, BUCKETS, 1 + len(METRICS))
        trial.tally = Tally(counts.copy())
        return trial
