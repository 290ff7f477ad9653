"""What tests of the join are built from: a shop that answers requests, and what it says of its slates on `feedback`."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from streams.contracts.slates import Feedback, decode_feedback
from streams.pipeline import Outcome, Pipeline
from streams.store.memory import MemoryStore
from tests.unit.building import RowRanker, at, item, published, records, run_all, started, wire

ITEMS = [item(f"i{n}", title=f"thing {n}", price=n, category=["tools", f"kind {n % 3}"]) for n in range(12)]
WINDOW_MIN = 30
K = 4


def scenario(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a coroutine function as a test."""

    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def ask(request_id: str, minute: float, user: str = "u1", **fields: Any) -> bytes:
    """Return a request for K items."""
    return wire("request", user, at(minute), request_id=request_id, k=K, **fields)


class Shop:
    """A pipeline over a memory store, fed with events; offsets follow one another."""

    def __init__(self, pipeline: Pipeline, store: MemoryStore) -> None:
        self.pipeline = pipeline
        self.store = store
        self.outcomes: list[Outcome] = []
        self._offset = 0

    @classmethod
    async def open(cls, **fields: Any) -> "Shop":
        """Open a shop of ITEMS and a ranker."""
        store = MemoryStore()
        return cls(await started(store, RowRanker(), ITEMS, **fields), store)

    async def send(self, *events: bytes, batch: int = 1_000) -> None:
        """Send events of one partition, `batch` at a time."""
        numbered = records(events, start=self._offset)
        self._offset += len(numbered)
        for start in range(0, len(numbered), batch):
            self.outcomes += await run_all(self.pipeline, numbered[start : start + batch])

    async def tick(self, minute: float) -> None:
        """Let time pass without an event."""
        await self.send(json.dumps({"type": "tick", "partition": 0, "at_ms": at(minute)}).encode())

    @property
    def feedback(self) -> list[Feedback]:
        """All records so far, in order."""
        found = [decode_feedback(m.value) for m in published(self.outcomes, "feedback")]
        return [one for one in found if isinstance(one, Feedback)]

    def slate(self, request_id: str) -> dict[str, Any]:
        """Return a slate that was served."""
        return next(one for one in self.slates if one["request_id"] == request_id)

    @property
    def slates(self) -> list[dict[str, Any]]:
        """All slates so far."""
        return [json.loads(m.value) for m in published(self.outcomes, "recommendations")]

    def shown(self, request_id: str) -> list[str]:
        """Return the items of a slate."""
        return [one["item_id"] for one in self.slate(request_id)["items"]]

    async def stats(self) -> dict[str, int]:
        """Return what was counted of feedback, without its prefix."""
        found = await self.store.stats([0])
        return {name.removeprefix("feedback_"): n for name, n in found.items() if name.startswith("feedback_") and n}


def outcomes(one: Feedback) -> list[str | None]:
    """Return what came of each position."""
    return [shown.outcome for shown in one.items]


def of(feedback: Sequence[Feedback], request_id: str) -> Feedback:
    """Return the only record of a slate."""
    (found,) = (one for one in feedback if one.request_id == request_id)
    return found
