"""Learns the messages of `feedback`, each exactly once, and watches them for drift.

Pure: no I/O, no clock. A record is judged before it is learned (prequential; Dawid, JRSS A 147, 1984), and it is
learned when its window closed, its clicks and negatives at once: clicks that came first would be learned without the
negatives that belong to them, and make every new item look better than it is.

Once: what lies before a partition's place is passed over, and so is a record whose `feedback_id` isn't above the last
one of its partition, as the topic may repeat it. `Learner(model, one.saved())` goes on as `one` would, to the bit.
"""

import numpy as np

from inference.tensors import FEATURES, HEADS
from streams.contracts.models import SnapshotPublished
from streams.contracts.slates import Feedback, Forgotten
from streams.online import terms
from streams.online.drift import Watch
from streams.online.model import NOTHING, Judged, OnlineModel, log_loss
from streams.online.saved import Place, Saved
from streams.online.snapshot import Snapshot

SIGNALS = ("log_loss", "click_rate", "score", *FEATURES)
"""What is watched: the ranker's log-loss, the share of clicks, the ranker's mean logit, the mean of each feature."""
_RECENT = 0.001
"""The weight of a record in the losses that are told: they are of about the last thousand."""
_MOST_FOUND = 1_000
_DIGITS = 18
"""Of a number in a `feedback_id`: more, and what is saved couldn't hold it."""
_COUNTS = ("learned", "unseen", "repeated", "refused", "lost")


class Learner:
    """See the module. Belongs to one model; not thread-safe."""

    def __init__(self, model: str, saved: Saved | None = None) -> None:
        self.model = model
        self.version = saved.version if saved else 0
        """The one that is stored."""
        self.topic_id = saved.topic_id if saved else ""
        self.places = dict(saved.places) if saved else {}
        self.counts = dict(saved.counts) if saved else dict.fromkeys(_COUNTS, 0)
        self.losses = dict(saved.losses) if saved else {}
        self.found = list(saved.found) if saved else []
        self._at_ms = saved.at_ms if saved else 0
        self._online = OnlineModel(saved.numbers if saved else NOTHING)
        self._watch = Watch(model, SIGNALS, saved.signals if saved else None)

    def read_from(self, topic_id: str) -> None:
        """Begin at the start of a topic that isn't the one of the places; its ids are above those that were learned."""
        if topic_id != self.topic_id:
            self.topic_id = topic_id
            self.places = {p: Place(0, place.last) for p, place in self.places.items()}

    def next_offset(self, partition: int) -> int:
        """Return the offset of the message to be learned next."""
        return self.places.get(partition, Place(0)).next

    def refuse(self, partition: int, offset: int) -> None:
        """Take note of a message that is no feedback, or that can't be learned."""
        if offset >= self.next_offset(partition):
            self.counts["refused"] += 1
            self._pass(partition, offset)

    def learn(self, record: Feedback | Forgotten, partition: int, offset: int) -> Judged | None:
        """Learn a message that lies there; None if it was learned before, or teaches nothing."""
        place = self.places.get(partition, Place(0))
        if offset < place.next:
            return None
        if isinstance(record, Forgotten):
            self._pass(partition, offset)
            return None
        number = _number(record.feedback_id)
        if number is None or not _fits(record):
            self.refuse(partition, offset)
            return None
        if number <= place.last:
            self.counts["repeated"] += 1
            self._pass(partition, offset)
            return None
        judged = self.take(record)
        self._pass(partition, offset, number)
        return judged

    def take(self, record: Feedback) -> Judged | None:
        """Judge and learn a record, wherever it lies; None if nothing of it was seen."""
        at_ms = record.closed_ms or record.at_ms
        self._at_ms = max(self._at_ms, at_ms)
        judged = self._online.take(record, at_ms)
        self.counts["unseen" if judged is None else "learned"] += 1
        if judged is not None:
            losses = _losses(judged)
            weight = max(_RECENT, 1 / self.counts["learned"])  # the plain mean at first, or the first record would rule
            for name, loss in losses.items():
                self.losses[name] = self.losses.get(name, loss) + weight * (loss - self.losses.get(name, loss))
            found = self._watch.update(_signals(record, judged, losses), at_ms)
            self.found = (self.found + found)[-_MOST_FOUND:]
        return judged

    def snapshot(self) -> Snapshot:
        """Return what workers score with, as the version that comes next."""
        numbers = self._online.numbers()
        items, categories, seen = self._online.residuals()
        return Snapshot(
            model=self.model,
            version=self.version + 1,
            at_ms=self._at_ms,
            calibrated=numbers.calibrated,
            alone=numbers.alone,
            items=items,
            categories=categories,
            seen=seen,
            shares=numbers.shares,
        )

    def saved(self) -> Saved:
        """Return all that was learned, as the version that comes next."""
        return Saved(
            version=self.version + 1,
            at_ms=self._at_ms,
            topic_id=self.topic_id,
            places=dict(self.places),
            counts=dict(self.counts),
            losses=dict(self.losses),
            numbers=self._online.numbers(),
            signals=self._watch.kept(),
            found=list(self.found),
        )

    def published(self) -> SnapshotPublished:
        """Return what the topic `models` is told of the version that was stored last."""
        metrics = self.losses | {name: float(count) for name, count in self.counts.items()}
        return SnapshotPublished(model=self.model, version=self.version, at_ms=self._at_ms, metrics=metrics)

    def _pass(self, partition: int, offset: int, number: tuple[int, ...] | None = None) -> None:
        """Go on behind a message, whose `number` is that of the record that was learned; what lay before it is lost."""
        place = self.places.get(partition, Place(offset))
        self.counts["lost"] += offset - place.next
        self.places[partition] = Place(offset + 1, number or place.last)


def _number(feedback_id: str) -> tuple[int, ...] | None:
    """Return an id as numbers that grow with it, None if it is none."""
    parts = feedback_id.split("-")
    return tuple(map(int, parts)) if all(part.isdecimal() and len(part) <= _DIGITS for part in parts) else None


def _fits(record: Feedback) -> bool:
    """Tell whether a record is of this tensor contract."""
    return all(
        len(one.features) == len(FEATURES) and (one.p is None or len(one.p) == len(HEADS)) for one in record.items
    )


def _losses(judged: Judged) -> dict[str, float]:
    said = {"ranker": judged.ranker, "online": judged.online, "blend": judged.blended}
    return {name: float(log_loss(judged.clicked, p).mean()) for name, p in said.items() if p is not None}


def _signals(record: Feedback, judged: Judged, losses: dict[str, float]) -> dict[str, float]:
    features = np.array([one.features for one in record.items]).mean(axis=0)
    signals = dict(zip(FEATURES, features.tolist(), strict=True))
    signals["click_rate"] = float(judged.clicked.mean())
    if judged.ranker is not None:
        signals["log_loss"] = losses["ranker"]
        signals["score"] = float(np.mean([terms.logit(one.p[0]) for one in record.items if one.p]))
    return signals
