import asyncio
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.probe import golden_inputs
from inference.ranker import Ranked, RankerInputs
from inference.tensors import HEADS
from streams.rollout import lineup as steps
from streams.rollout.canary import is_served
from streams.rollout.follow import FollowedRanker
from streams.rollout.lineup import Lineup

USERS = [f"user-{n}" for n in range(20_000)]


@given(st.text(min_size=1), st.integers(1, 2**31), st.floats(0, 1), st.floats(0, 1))
def test_who_is_served_at_a_share_is_served_at_a_larger_one(user: str, version: int, one: float, other: float) -> None:
    assert is_served(user, version, min(one, other)) <= is_served(user, version, max(one, other))
    assert not is_served(user, version, 0.0)
    assert is_served(user, version, 1.0)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_a_canary_serves_its_share_and_another_one_other_users(share: float) -> None:
    first, second = ({user for user in USERS if is_served(user, version, share)} for version in (7, 8))
    deviation = (share * (1 - share) / len(USERS)) ** 0.5
    assert abs(len(first) / len(USERS) - share) < 4 * deviation
    assert abs(len(first & second) / len(USERS) - share**2) < 4 * deviation


def test_the_draw_of_a_user_is_the_same_in_every_release() -> None:
    assert [user for user in USERS[:60] if is_served(user, 7, 0.1)] == [
        "user-6",
        "user-13",
        "user-16",
        "user-35",
        "user-37",
        "user-54",
    ]


@dataclass
class Version:
    """Answers by its number, a turn of the loop later."""

    number: int

    async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
        await asyncio.sleep(0)
        p = np.full((*inputs.item_ids.shape, len(HEADS)), self.number / 100, np.float32)
        return Ranked(p, f"ranker/{self.number}")


def lineup(canary: float | None = None, shadow: bool = False) -> Lineup:
    """Champion 1; version 2 is the canary of that share, or the shadow."""
    found = steps.judged(steps.published(steps.first("ranker", 1), 2, None), 2, None, None, {})
    if canary is not None:
        found = steps.canaried(found, 2, canary)
    return steps.shadowed(found, 2) if shadow else found


def test_users_of_the_canary_are_ranked_by_it_and_all_others_by_the_champion() -> None:
    ranker = FollowedRanker(Version, 1)
    assert ranker.route(USERS[:5]) == [(ranker, [0, 1, 2, 3, 4])]
    ranker.point(lineup(canary=0.3))
    (champion, ours), (canary, theirs) = ranker.route(USERS[:100])
    assert champion is ranker
    assert isinstance(canary, Version)
    assert canary.number == 2
    assert [is_served(USERS[place], 2, 0.3) for place in theirs] == [True] * len(theirs)
    assert sorted(ours + theirs) == list(range(100))
    ranker.point(steps.rolled_back(lineup(canary=0.3), 2))
    assert ranker.route(USERS[:2]) == [(ranker, [0, 1])]


def test_a_batch_is_ranked_by_the_version_that_was_champion_when_its_call_began() -> None:
    inputs = next(golden_inputs())

    async def scenario() -> list[str]:
        ranker = FollowedRanker(Version, 1)
        first = asyncio.create_task(ranker.rank(inputs, 1.0))
        await asyncio.sleep(0)
        ranker.point(steps.promoted(lineup(), 2))
        return [(await first).model, (await ranker.rank(inputs, 1.0)).model]

    assert asyncio.run(scenario()) == ["ranker/1", "ranker/2"]
