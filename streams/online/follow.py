"""How a worker follows the online model: the pointer is polled, and a new snapshot is read once.

While Redis is away the last snapshot counts. One that can't be used, since the learner is of another version of
Streamrank, is said once, and the ranker alone decides.
"""

import logging

from streams.errors import StoreMismatch
from streams.online.score import Scorer
from streams.online.versions import Versions
from streams.poll import poll

POLL_S = 0.2
"""How old a worker's snapshot may be. Shorter: one more tiny call to Redis each time."""

log = logging.getLogger(__name__)


class FollowedScorer:
    """Holds the scorer of the snapshot that was read last; None if there is none. Belongs to one event loop."""

    def __init__(self, versions: Versions) -> None:
        self.scorer: Scorer | None = None
        self._versions = versions
        self._version: int | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        await poll(self.look, POLL_S, "the online model grows old")

    async def look(self) -> None:
        """Take the latest snapshot."""
        latest = await self._versions.latest()
        if latest == self._version:
            return
        try:
            snapshot = None if latest is None else await self._versions.snapshot(latest)
        except StoreMismatch as exc:
            log.warning("the ranker decides alone", extra={"reason": str(exc)})
            snapshot = None
        else:
            if snapshot is None and latest is not None:
                return  # gone meanwhile: there is a later one
        self.scorer = None if snapshot is None else Scorer(snapshot)
        self._version = latest
