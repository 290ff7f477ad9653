"""A model of a shopper: nobody looks at the demo's slates, so this says what is seen of them and what is clicked.

Position p, 0 at the top, is seen with the chance 1 / (1 + 0.15 p), each by itself (the position-based model of
Richardson et al., "Predicting clicks", WWW 2007). What is seen and lies in the basket that was really bought after the
request is clicked. Pure: the chances come from seed and request, so the order of answers changes nothing.
"""

import random
from dataclasses import dataclass
from typing import Any

from streams.contracts import events as ev
from streams.contracts.slates import Slate
from streams.demo.journey import Basket

FADES = 0.15
"""More of it: less is seen further down. The tenth of ten items is seen with the chance .43."""
PROTOCOL = (
    "impressions and clicks come from a model of a shopper, not from people: position p is seen with the chance "
    "1/(1+{fades}p), seed {seed}, and what is seen and is in the household's real next basket is clicked; purchases "
    "are the real ones, and count as outcomes whether the model saw the item or not"
)


@dataclass(slots=True)
class Shopper:
    """Looks at slates, and counts: `impressions` are the slates that were looked at, `seen` are items."""

    seed: int
    impressions: int = 0
    seen: int = 0
    clicks: int = 0

    def look(self, slate: Slate, basket: Basket) -> list[ev.Impression | ev.Click]:
        """Return what becomes of the slate that was asked for before that basket; of an empty one nothing."""
        seen = _seen(slate, self.seed)
        if not seen:
            return []
        clicked = [position for position, item_id in seen.items() if item_id in basket.items]
        self.impressions += 1
        self.seen += len(seen)
        self.clicks += len(clicked)
        known: dict[str, Any] = {
            "user_id": basket.user_id,
            "request_id": slate.request_id,
            "at_ms": basket.at_ms,
        }
        impression = ev.Impression(items=list(seen.values()), event_id=f"{slate.request_id}-seen", **known)
        return [impression, *(_click(slate, position, known) for position in clicked)]

    def told(self) -> dict[str, Any]:
        """Return what the report says of it."""
        return {
            "protocol": PROTOCOL.format(fades=FADES, seed=self.seed),
            "impressions": self.impressions,
            "seen": self.seen,
            "clicks": self.clicks,
        }


def unseen(user_id: str, request_id: str, at_ms: int) -> ev.Impression:
    """Return the event that says that nobody looked at a slate: without one, all of it would count as seen."""
    return ev.Impression(user_id=user_id, request_id=request_id, event_id=f"{request_id}-seen", at_ms=at_ms, items=[])


def _seen(slate: Slate, seed: int) -> dict[int, str]:
    """Return the items that are seen, by position."""
    chances = random.Random(f"{seed} {slate.request_id}")  # noqa: S311 (a model, no secret)
    return {p: one.item_id for p, one in enumerate(slate.items) if chances.random() * (1 + FADES * p) < 1}


def _click(slate: Slate, position: int, known: dict[str, Any]) -> ev.Click:
    event_id = f"{slate.request_id}-click-{position}"
    return ev.Click(item_id=slate.items[position].item_id, event_id=event_id, position=position, **known)
