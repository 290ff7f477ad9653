import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from inference.probe import golden_inputs
from inference.ranker import Ranked, RankerInputs
from inference.tensors import HEADS
from streams.rollout.agreement import MEASURES, agreement, kendall, spearman
from streams.rollout.shadow import WAITING, Shadowing, compare


@given(st.integers(2, 40).flatmap(lambda k: st.tuples(*[st.lists(st.integers(0, 9), min_size=k, max_size=k)] * 2)))
def test_correlations_are_those_of_the_textbook(pair: tuple[list[int], list[int]]) -> None:
    ours, theirs = (np.array(scores, float) for scores in pair)
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        assert agreement(ours, theirs) is None
        return
    assert kendall(ours, theirs) == pytest.approx(stats.kendalltau(ours, theirs).statistic, abs=1e-12)
    assert spearman(ours, theirs) == pytest.approx(stats.spearmanr(ours, theirs).statistic, abs=1e-12)


def ranked(inputs: RankerInputs, p: np.ndarray) -> Ranked:
    whole = np.repeat(p[..., None], len(HEADS), axis=2).astype(np.float32)
    return Ranked(np.broadcast_to(whole, (*inputs.item_ids.shape, len(HEADS))), "ranker/2")


def batch() -> RankerInputs:
    return list(golden_inputs())[2]


def test_a_shadow_that_says_the_same_agrees_and_the_opposite_does_not() -> None:
    inputs = batch()
    p = np.random.default_rng(1).random(inputs.item_ids.shape)
    same = compare(inputs, ranked(inputs, p), ranked(inputs, p))
    assert same == pytest.approx({"kendall": 3, "spearman": 3, "drift": 0, "drift_absolute": 0, "compared": 3})
    other = compare(inputs, ranked(inputs, p), ranked(inputs, 1 - p))
    assert [other["kendall"], other["spearman"]] == pytest.approx([-3, -3])
    higher = compare(inputs, ranked(inputs, p / 2), ranked(inputs, p / 2 + 0.25))
    assert [higher["drift"], higher["drift_absolute"]] == pytest.approx([0.75, 0.75], abs=1e-5)


def test_padding_is_not_compared() -> None:
    inputs = batch()
    inputs.item_ids[:, 20:] = 0
    p, noise = np.random.default_rng(1).random((2, *inputs.item_ids.shape))
    noise[:, :20] = p[:, :20]
    assert compare(inputs, ranked(inputs, p), ranked(inputs, noise))["kendall"] == pytest.approx(3)


@dataclass
class Held:
    """A ranker that answers when it is let."""

    let: asyncio.Event = field(default_factory=asyncio.Event)

    async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
        await self.let.wait()
        return ranked(inputs, np.random.default_rng(1).random(inputs.item_ids.shape))


@dataclass
class Told:
    """Takes what would go to Redis."""

    sums: dict[str, float] = field(default_factory=dict)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def add_shadowed(self, version: int, sums: dict[str, float]) -> None:
        assert version == 2
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0) + value
        self.came.set()


def test_what_a_slow_shadow_does_not_get_to_is_dropped_and_counted_and_nobody_waits() -> None:
    async def scenario() -> dict[str, float]:
        shadowing, held, told, inputs = Shadowing(), Held(), Told(), batch()
        champion = ranked(inputs, np.random.default_rng(2).random(inputs.item_ids.shape))
        for _ in range(WAITING + 5):
            shadowing.offer(2, held, inputs, champion)
        held.let.set()
        task = asyncio.create_task(shadowing.run(told))  # type: ignore[arg-type]
        await told.came.wait()
        task.cancel()
        return told.sums

    sums = asyncio.run(scenario())
    assert (sums["compared"], sums["dropped"], sums["calls"]) == (WAITING * len(batch()), 5 * len(batch()), WAITING)
    assert sums["latency_ms"] >= 0
    assert set(MEASURES) <= set(sums)
