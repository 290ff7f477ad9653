"""How a worker follows the pointer: it ranks with the champion, and names that version in every request.

The lineup is polled, and each poll is the heartbeat, so operators know which worker serves by which. A batch of
requests is ranked by the version that was champion when its call began, all of it: no slate is of two versions. While
Redis is away the last lineup counts.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Sequence

from inference.ranker import Ranked, Ranker, RankerInputs
from streams.errors import Unreachable
from streams.rollout.canary import is_served
from streams.rollout.lineup import Lineup
from streams.rollout.pointer import Heartbeat, Pointer
from streams.rollout.shadow import Shadowing

POLL_S = 0.2
"""How old a worker's lineup may be. Shorter: one more tiny call to Redis each time."""

log = logging.getLogger(__name__)


class FollowedRanker:
    """Ranks with the version that it was last pointed at. Belongs to one event loop."""

    def __init__(self, ranker_of: Callable[[int], Ranker], champion: int) -> None:
        """`ranker_of` makes a ranker of a version; `champion` counts until the first `point`."""
        self._ranker_of = ranker_of
        self._ranker = ranker_of(champion)
        self._shadow: tuple[int, Ranker] | None = None
        self._canary: tuple[Ranker, int, float] | None = None
        self.shadowing = Shadowing()
        self.serving = Heartbeat(revision=0, champion=champion)

    def point(self, lineup: Lineup) -> None:
        """Serve by this lineup from the next call on."""
        if lineup.champion != self.serving.champion:
            self._ranker = self._ranker_of(lineup.champion)
        self._canary = None
        if lineup.canary is not None:
            self._canary = (self._ranker_of(lineup.canary), lineup.canary, lineup.canary_share)
        self._shadow = None if lineup.shadow is None else (lineup.shadow, self._ranker_of(lineup.shadow))
        self.serving = Heartbeat(lineup.revision, lineup.champion)

    def route(self, user_ids: Sequence[str]) -> list[tuple[Ranker, list[int]]]:
        """Return who ranks for which of the users, by their places: this champion, and the canary for its share."""
        if self._canary is None:
            return [(self, list(range(len(user_ids))))]
        canary, version, share = self._canary
        groups: tuple[list[int], list[int]] = ([], [])
        for place, user_id in enumerate(user_ids):
            groups[is_served(user_id, version, share)].append(place)
        return [(ranker, places) for ranker, places in zip((self, canary), groups, strict=True) if places]

    async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
        """Rank the whole batch with the champion, or raise `RankerUnavailable`."""
        ranked = await self._ranker.rank(inputs, timeout_s)
        if self._shadow is not None:
            self.shadowing.offer(*self._shadow, inputs, ranked)
        return ranked


async def follow(pointer: Pointer, ranker: FollowedRanker) -> None:
    """Point the ranker at what the lineup says, every POLL_S until cancelled, and beat."""
    worker, away = uuid.uuid4().hex, False
    try:
        while True:
            try:
                moved = _point(ranker, await pointer.follow(worker, ranker.serving))
                away = False
            except Unreachable as exc:
                if not away:
                    log.warning("the lineup of models grows old", extra={"reason": str(exc)})
                moved, away = False, True
            if not moved:  # or say at once what is served now
                await asyncio.sleep(POLL_S)
    finally:
        with contextlib.suppress(Unreachable):
            await pointer.leave(worker)


def _point(ranker: FollowedRanker, lineup: Lineup | None) -> bool:
    if lineup is None or lineup.revision == ranker.serving.revision:
        return False
    before = ranker.serving.champion
    ranker.point(lineup)
    log.info("lineup followed", extra={"revision": lineup.revision, "before": before, "champion": lineup.champion})
    return True
